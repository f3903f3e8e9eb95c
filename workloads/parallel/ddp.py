"""Synchronous data parallel: every rank holds the model; gradients are averaged during the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.compress.registry import SHARED
from workloads.parallel.shares import Shares
from workloads.parallel.traffic import Traffic, gradient_bytes
from workloads.transform import Setting, TransformSpec

if TYPE_CHECKING:
    from torch import nn

    from workloads.training import Mark, Training

TRAINING = ("train", "finetune")


class DataParallel(Shares):
    """Torch's DistributedDataParallel; a bucket's gradients are reduced as soon as all of them are there."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="ddp",
        title="Data parallel",
        summary="each rank trains on its share of the batch; gradients are averaged while they are computed",
        modes=TRAINING,
        needs=frozenset({"samples"}),
        precisions=("fp32", "tf32", "bf16", "fp16"),
        compress=("none", *SHARED),
        settings={
            "bucket_mib": Setting(25, "MiB of gradients that are reduced at once", least=1),
            "static_graph": Setting(default=False, about="the same weights are used in every step"),
        },
    )

    def train_step(self, training: Training) -> Callable[[int, Mark], None]:
        """Return the step with the loss behind the wrapper that reduces gradients."""
        from workloads.parallel.data import LossModule, wrapped_step

        return wrapped_step(training, self.wrap(LossModule(training.model)))

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module behind torch's wrapper."""
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(
            module,
            bucket_cap_mb=int(self.settings["bucket_mib"]),
            gradient_as_bucket_view=True,
            static_graph=bool(self.settings["static_graph"]),
            broadcast_buffers=_sends_buffers(module),
        )

    def traffic(self, training: Training) -> list[Traffic]:
        """The gradients of all weights, and rank 0's buffers, for every micro-batch."""
        parts, model = len(training.ring[0]), training.model
        sent = [Traffic("all_reduce", parts * gradient_bytes(model.parameters()))]
        if _sends_buffers(model):
            sent.append(Traffic("broadcast", parts * sum(buffer.nbytes for buffer in model.buffers())))
        return sent

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"data": self.ranks.world}}


def _sends_buffers(module: nn.Module) -> bool:
    """Return whether rank 0's buffers are sent: those of floating point may be running statistics."""
    return any(buffer.is_floating_point() for buffer in module.buffers())
