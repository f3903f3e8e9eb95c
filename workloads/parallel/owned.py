"""Data parallel but for some weights, each of which lies on one rank alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from workloads.parallel.ddp import DataParallel
from workloads.parallel.traffic import Traffic, gradient_bytes

if TYPE_CHECKING:
    from torch import nn

    from workloads.training import Training


class OwnedWeights(DataParallel):
    """Each rank has a share of the batch; the samples travel to the weights that others own, and back.

    The gradient of an owned weight comes from every rank's loss, in the backward pass of the exchange. The
    batch's loss is the mean of the ranks', so it is divided by their number; the other weights' are averaged.
    """

    def own(self, weights: Iterable[nn.Parameter]) -> None:
        """Take these weights for the rank's own."""
        self._owned = set(weights)

    def traffic(self, training: Training) -> list[Traffic]:
        """The gradients of the weights that are not owned; a subclass adds what travels to owned ones."""
        shared = [weight for weight in training.model.parameters() if weight not in self._owned]
        return [Traffic("all_reduce", len(training.ring[0]) * gradient_bytes(shared))]

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module behind torch's wrapper, which leaves the owned weights alone."""
        from torch.nn.parallel import DistributedDataParallel

        for weight in self._owned:
            weight.register_hook(lambda gradient: gradient / self.ranks.world)  # type: ignore[no-untyped-call]
        names = [name for name, weight in module.named_parameters() if weight in self._owned]
        leave_alone = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model  # noqa: SLF001
        leave_alone(module, names)  # type: ignore[no-untyped-call]
        return super().wrap(module)
