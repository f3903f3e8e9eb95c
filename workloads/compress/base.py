"""What a compressor is: it makes a model smaller, before it is cast, compiled or spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Workload
from workloads.compress import layers
from workloads.transform import Cell, Transform

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "LEARNS",
    "PRECISIONS",
    "Compressor",
]

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
"""Those that most compressed models run in."""
LEARNS = "its quality is what training makes of it: see the losses of a training trial"


class Compressor(Transform):
    """Changes the model that a workload built, in one of the modes that its spec names."""

    differentiable: ClassVar[bool] = True
    """Whether gradients pass through what it makes of the layers."""
    unjudged: ClassVar[str | None] = None
    """Why its outputs held against the uncompressed model's tell nothing, where they do not."""
    starts_equal: ClassVar[bool] = False
    """Whether it changes no output before training: then they show the error of a lower precision."""
    own_loss: ClassVar[bool] = False
    """Whether it trains on another loss than the workload's, which says nothing beside that of others."""
    works_after_cast: ClassVar[bool] = False
    """Whether it gets the weights in the trial's precision, where its format depends on that."""

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Look whether the layers that a setting names can be there."""
        return layers.refusal(cell)

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Return the smaller model, the same object or another, and the evidence of what was done.

        Args:
            workload: In the trial's mode.
            model: On its device, in fp32 or after the cast, in training or evaluation as the mode wants it.

        Raises:
            UnsupportedError: this model cannot be compressed so.
        """
        return model, {}

    def loss(self, workload: Workload, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the training loss of the compressed model; the workload's own by default."""
        return workload.loss(model, batch)

    def updated(self) -> None:
        """Follow up on an update of the weights, whose gradients are still there."""
