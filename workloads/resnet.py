"""ResNet image classification: training and inference."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads import flops
from workloads.base import Batch, Size, Units, Workload, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

STAGES = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottleneck blocks of each stage, by depth."""


class ResNet(Workload):
    """ResNet-50 (`base`) and its kin, with channels last in memory, as convolutions run fastest."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="resnet",
        title="ResNet",
        family="vision",
        summary="Image classification by a residual convolutional network: training and inference",
        unit="samples",
        modes=("train", "infer"),
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

    @cached_property
    def _files(self) -> tuple[list[Path], list[int]] | None:
        from workloads.sources import image_classes, image_files

        if self.data is None:
            return None
        files = image_files(self.data)
        return files, image_classes(self.data, files, self.n("classes"))

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `images` (B, 3, side, side), normally distributed or read from files, and `labels` (B,)."""
        import numpy as np
        import torch

        from workloads import batches
        from workloads.sources import read_image

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        if self._files is None:
            images = random.standard_normal((rows, 3, side, side), dtype=np.float32)
            labels = random.integers(0, self.n("classes"), rows)
        else:
            files, classes = self._files
            drawn = random.integers(0, len(files), rows)
            images = np.stack([read_image(files[i], side) for i in drawn])
            labels = np.array([classes[i] for i in drawn], dtype=np.int64)
        batch = batches.shard({"images": images, "labels": labels}, rank, world)
        batch["images"] = batch["images"].contiguous(memory_format=torch.channels_last)
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the classes."""
        from torch.nn import functional as F

        return F.cross_entropy(model(batch["images"]), batch["labels"])

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return class logits (B, classes)."""
        logits: torch.Tensor = model(batch["images"])
        return logits

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the bottleneck blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def _forward(self, rows: int) -> float:
        """Sum the convolutions and the classifier; stride 2 writes ceil(side / 2) pixels a side."""
        width, side = self.n("width"), _half(self.n("image"))
        work = flops.conv2d(rows * side * side, 3, width, 7)
        side, channels = _half(side), width
        for stage, count in enumerate(STAGES[self.n("depth")]):
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
        return work + flops.linear(rows, channels, self.n("classes"))

    def units(self, batch: Batch) -> Units:
        """Count a step, convolution by convolution."""
        rows = len(batch["images"])
        pixels = 4.0 * batch["images"].numel()
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * self._forward(rows), pixels + 8.0 * rows)
        return Units(rows, 0, rows, self._forward(rows), pixels + 4.0 * rows * self.n("classes"))


def _half(side: int) -> int:
    return (side + 1) // 2
