"""ResNet image classification: training and inference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads import flops
from workloads.base import Size, WorkloadSpec
from workloads.images import ImageClassifier

if TYPE_CHECKING:
    from torch import nn

STAGES = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottleneck blocks of each stage, by depth."""


class ResNet(ImageClassifier):
    """ResNet-50 (`base`) and its kin, with channels last in memory, as convolutions run fastest."""

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
        if self.n("depth") not in STAGES:
            raise ValueError(f"resnet: depth {self.n('depth')} is not one of {', '.join(map(str, STAGES))}")

    def build_model(self) -> nn.Module:
        """Build the network, channels last."""
        import torch

        from workloads.nets import resnet

        net = resnet.ResNet(stages=STAGES[self.n("depth")], width=self.n("width"), classes=self.n("classes"))
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the bottleneck blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def forward_flops(self, rows: int) -> float:
        """Sum the convolutions and the classifier."""
        depth, width = self.n("depth"), self.n("width")
        features = 4 * width << len(STAGES[depth]) - 1
        work = trunk_flops(rows, self.n("image"), depth, width)
        return work + flops.linear(rows, features, self.n("classes"))


def trunk_flops(rows: int, image: int, depth: int, width: int) -> float:
    """Sum the convolutions of stem and blocks; stride 2 writes ceil(side / 2) pixels a side."""
    side = _half(image)
    work = flops.conv2d(rows * side * side, 3, width, 7)
    side, channels = _half(side), width
    for stage, count in enumerate(STAGES[depth]):
        inner = width << stage
        for block in range(count):
            work += flops.conv2d(rows * side * side, channels, inner, 1)
            if stage and block == 0:
                side = _half(side)
            pixels = rows * side * side
            work += flops.conv2d(pixels, inner, inner, 3) + flops.conv2d(pixels, inner, 4 * inner, 1)
            if block == 0:
                work += flops.conv2d(pixels, channels, 4 * inner, 1)
            channels = 4 * inner
    return work


def _half(side: int) -> int:
    return (side + 1) // 2
