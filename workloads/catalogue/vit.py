"""Vision transformer: image classification from patches, training and inference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Size, WorkloadSpec
from workloads.catalogue.image_classifier import ImageClassifier
from workloads.counting import flops

if TYPE_CHECKING:
    from torch import nn


class ViT(ImageClassifier):
    """ViT-B/16 (`base`) and ViT-L/16 (`large`): the state of a class token is classified."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="vit",
        title="Vision transformer",
        family="vision",
        summary="Image classification by a transformer over patches: training and inference",
        unit="samples",
        modes=("train", "infer"),
        traits=frozenset(
            {"compiles", "linear", "narrows", "attention", "blocks", "samples", "stages", "tensor", "classes"}
        ),
        sizes={
            "tiny": {
                "batch": 8,
                "image": 64,
                "classes": 10,
                "patch": 8,
                "hidden": 128,
                "layers": 4,
                "heads": 4,
            },
            "base": {
                "batch": 64,
                "image": 224,
                "classes": 1000,
                "patch": 16,
                "hidden": 768,
                "layers": 12,
                "heads": 12,
            },
            "large": {
                "batch": 64,
                "image": 224,
                "classes": 1000,
                "patch": 16,
                "hidden": 1024,
                "layers": 24,
                "heads": 16,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        data=("images",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        for whole, part in (("image", "patch"), ("hidden", "heads")):
            if self.n(whole) % self.n(part):
                raise ValueError(f"vit: {whole} {self.n(whole)} does not divide by {part} {self.n(part)}")

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return (self.n("image") // self.n("patch")) ** 2

    @property
    def shape(self) -> dict[str, int]:
        """The network's arguments."""
        keys = ("patch", "hidden", "layers", "heads", "classes")
        return {"patches": self.patches, **{key: self.n(key) for key in keys}}

    def build_model(self) -> nn.Module:
        """Build the transformer and its classifier."""
        from workloads.models import vit

        return vit.ViT(**self.shape)

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the transformer blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def forward_flops(self, rows: int) -> float:
        """Sum the patches' projection, the blocks over patches and class token, and the classifier."""
        hidden, layers, positions = self.n("hidden"), self.n("layers"), self.patches + 1
        work = flops.conv2d(rows * self.patches, 3, hidden, self.n("patch"))
        work += flops.encoder_layers(rows * positions, hidden, 4 * hidden, layers)
        work += flops.attention(rows, positions, positions, hidden, layers)
        return work + flops.linear(rows, hidden, self.n("classes"))
