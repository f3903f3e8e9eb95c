"""ResNet image classification: training and inference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Size, WorkloadSpec
from workloads.catalogue.image_classifier import ImageClassifier
from workloads.counting import flops

if TYPE_CHECKING:
    from torch import nn

STAGES = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottleneck blocks of each stage, by depth."""
LAST_STRIDE = 32
"""Pixels a side of the image that are one of the last stage."""
BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of two 3x3 convolutions of each stage, by depth."""


class ResNet(ImageClassifier):
    """ResNet-50 (`base`) and ResNet-152 (`large`), channels last in memory, as convolutions run fastest.

    `shape.depth` chooses their kin: 18 and 34, of basic blocks, or 101; 26 is the least of bottlenecks.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="resnet",
        title="ResNet",
        family="vision",
        summary="Image classification by a residual convolutional network: training and inference",
        unit="samples",
        modes=("train", "infer"),
        traits=frozenset({"compiles", "convolution", "narrows", "batch_norm", "samples", "classes"}),
        sizes={
            "tiny": {"batch": 8, "image": 64, "classes": 10, "depth": 26, "width": 16},
            "base": {"batch": 64, "image": 224, "classes": 1000, "depth": 50, "width": 64},
            "large": {"batch": 64, "image": 224, "classes": 1000, "depth": 152, "width": 64},
        },
        train={"optimizer": "sgd", "lr": 0.05},
        data=("images",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("depth") not in (depths := sorted(STAGES | BASIC)):
            raise ValueError(f"resnet: depth {self.n('depth')} is not one of {', '.join(map(str, depths))}")

        if mode == "train" and self.n("batch") == 1 and self.n("image") <= LAST_STRIDE:
            raise ValueError(
                f"{self.spec.name}: batch norm cannot train on one value a channel: "
                f"a batch of 1 needs images of more than {LAST_STRIDE} pixels"
            )

    def build_model(self) -> nn.Module:
        """Build the network, channels last."""
        import torch

        from workloads.models import resnet

        depth = self.n("depth")
        net = resnet.ResNet(
            stages=(STAGES | BASIC)[depth],
            basic=depth in BASIC,
            width=self.n("width"),
            classes=self.n("classes"),
        )
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the residual blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def forward_flops(self, rows: int) -> float:
        """Sum the convolutions and the classifier."""
        depth, width = self.n("depth"), self.n("width")
        features = (width if depth in BASIC else 4 * width) << 3
        work = trunk_flops(rows, self.n("image"), depth, width)
        return work + flops.linear(rows, features, self.n("classes"))


def trunk_flops(rows: int, image: int, depth: int, width: int) -> float:
    """Sum the convolutions of stem and blocks; stride 2 writes ceil(side / 2) pixels a side."""
    side = _half(image)
    work = flops.conv2d(rows * side * side, 3, width, 7)
    side, channels = _half(side), width
    for stage, count in enumerate((STAGES | BASIC)[depth]):
        inner = width << stage
        wide = inner if depth in BASIC else 4 * inner
        for block in range(count):
            before = rows * side * side
            if stage and block == 0:
                side = _half(side)
            pixels = rows * side * side
            if depth in BASIC:
                work += flops.conv2d(pixels, channels, inner, 3)
            else:
                work += flops.conv2d(before, channels, inner, 1) + flops.conv2d(pixels, inner, wide, 1)
            work += flops.conv2d(pixels, inner, inner, 3)
            if channels != wide:
                work += flops.conv2d(pixels, channels, wide, 1)
            channels = wide
    return work


def _half(side: int) -> int:
    return (side + 1) // 2
