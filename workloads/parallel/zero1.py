"""ZeRO stage 1: data parallel, with each rank keeping the optimizer's state of some of the weights only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.parallel.ddp import DataParallel
from workloads.parallel.traffic import Traffic, combined, gradient_bytes, trained
from workloads.transform import TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.training import Training


class Zero1(DataParallel):
    """Torch's ZeroRedundancyOptimizer: a rank updates its weights and sends them to all others."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="zero1",
        title="ZeRO stage 1",
        summary="data parallel; each rank keeps and applies the optimizer's state of its own weights only",
        modes=DataParallel.spec.modes,
        needs=DataParallel.spec.needs,
        settings=DataParallel.spec.settings,
        precisions=DataParallel.spec.precisions,
    )

    def optimizer(
        self, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], model: nn.Module
    ) -> torch.optim.Optimizer:
        """Return the optimizer that spreads its state."""
        import torch
        from torch.distributed.optim import ZeroRedundancyOptimizer

        def local(groups: list[dict[str, Any]], **_defaults: Any) -> torch.optim.Optimizer:
            own = [parameter for group in groups for parameter in group["params"]]
            return make(own or [torch.nn.Parameter(torch.empty(0))])  # more ranks than weights

        return ZeroRedundancyOptimizer(trained(model), local)  # type: ignore[arg-type]

    def traffic(self, training: Training) -> list[Traffic]:
        """The gradients of all weights, and the weights from those ranks that updated them."""
        weights = trained(training.model)
        sent = Traffic("broadcast", gradient_bytes(weights), len(weights))
        return combined(super().traffic(training), [sent])

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"data": self.ranks.world, "optimizer_shards": self.ranks.world}}
