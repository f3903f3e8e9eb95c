"""Explaining a vision transformer's decisions: integrated gradients over pixels, attention over patches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, WorkloadSpec
from workloads.catalogue.vit import ViT
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

METHODS = ("gradients", "attention")


class Explanation(ViT):
    """What it costs to explain ViT-B/16 (`base`) and ViT-L/16 (`large`) beside letting them decide.

    `shape.method=gradients` sums the gradients of the seen class at `steps` points between the image and
    nothing; `attention` follows the weights of attention from the class token back to the patches.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="explanation",
        title="Explanation",
        family="vision",
        summary="Explains a vision transformer: integrated gradients, or attention through the layers",
        unit="samples",
        modes=("infer",),
        sizes={
            name: {**size, "batch": batch, "method": "gradients", "steps": steps}
            for (name, size), batch, steps in zip(
                ViT.spec.sizes.items(), (2, 16, 16), (4, 32, 32), strict=True
            )
        },
        data=("images",),
        traits=ViT.spec.traits - {"classes", "samples", "tensor"} | {"differentiates"},
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if size["method"] not in METHODS:
            raise ValueError(f"explanation: method {size['method']!r} is not one of {', '.join(METHODS)}")

    @property
    def _by_gradients(self) -> bool:
        return self.size["method"] == "gradients"

    def build_model(self) -> nn.Module:
        """Build the transformer, one that gives its attention's weights away where they are asked for."""
        from workloads.models.explanation import Rollout

        return super().build_model() if self._by_gradients else Rollout(**self.shape)

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the relevance of every number (B, 3, side, side), or of every patch (B, patches)."""
        from workloads.models.explanation import integrated_gradients

        if self._by_gradients:
            return integrated_gradients(model, batch["images"], self.n("steps"))
        relevance: torch.Tensor = model(batch["images"])[1]
        return relevance

    def units(self, batch: Batch) -> Units:
        """Count a step. Each gradient costs a forward pass, and for the pixels' sake alone one backward.

        A backward pass for the inputs costs the layers once more, and attention, of two inputs, twice.
        """
        rows, positions = len(batch["images"]), self.patches + 1
        forward = self.forward_flops(rows)
        pixels = 4.0 * batch["images"].numel()
        attention = flops.attention(rows, positions, positions, self.n("hidden"), self.n("layers"))
        if self._by_gradients:
            return Units(rows, 0, rows, self.n("steps") * (2 * forward + attention), 2 * pixels)
        rollout = flops.linear(rows, positions, positions) * self.n("layers")
        return Units(rows, 0, rows, forward + rollout, pixels + 4.0 * rows * self.patches)
