"""Multi-branch convolutional networks: GoogLeNet and Inception v3, training and inference."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from workloads.base import Batch, Size, WorkloadSpec
from workloads.catalogue.image_classifier import ImageClassifier
from workloads.counting import flops
from workloads.models.inception_architectures import ARCHITECTURES, Architecture, Branches, Conv, Pool, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn


class Inception(ImageClassifier):
    """GoogLeNet (`base`, version 1) and Inception v3 (`large`, version 3).

    Training has the auxiliary classifiers, inference does not. Their pools adapt to the image's size; at the
    published size GoogLeNet's see 14x14 positions and v3's 17x17.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="inception",
        title="Inception",
        family="vision",
        summary="Image classification by GoogLeNet and Inception v3, which branch: training and inference",
        unit="samples",
        modes=("train", "infer"),
        traits=frozenset({"compiles", "convolution", "batch_norm", "samples", "classes"}),
        sizes={
            "tiny": {"batch": 8, "image": 64, "classes": 10, "version": 1, "width": 16},
            "base": {"batch": 64, "image": 224, "classes": 1000, "version": 1, "width": 64},
            "large": {"batch": 64, "image": 299, "classes": 1000, "version": 3, "width": 32},
        },
        train={"optimizer": "sgd", "lr": 0.01},
        data=("images",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("version") not in ARCHITECTURES:
            raise ValueError(f"inception: version {self.n('version')} is not one of 1, 3")
        least = self._architecture.least_side
        if self.n("image") < least:
            raise ValueError(f"inception: image {self.n('image')} is smaller than the {least} pixels needed")
        if self.n("width") % 8:
            raise ValueError(f"inception: width {self.n('width')} is not a multiple of 8")

    @property
    def _architecture(self) -> Architecture:
        return ARCHITECTURES[self.n("version")]

    def build_model(self) -> nn.Module:
        """Build the network, channels last; the auxiliary classifiers are those of training."""
        import torch

        from workloads.models import inception

        net = inception.Inception(
            self._architecture,
            width=self.n("width"),
            classes=self.n("classes"),
            auxiliary=self.mode == "train",
        )
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the classes' mean cross-entropy, and the auxiliary classifiers' by their weight."""
        from torch.nn import functional as F

        logits, auxiliary = model(batch["images"])
        extra = sum(F.cross_entropy(other, batch["labels"]) for other in auxiliary)
        return F.cross_entropy(logits, batch["labels"]) + self._architecture.head.weight * extra

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return class logits (B, classes)."""
        logits: torch.Tensor = model(batch["images"])[0]
        return logits

    def forward_flops(self, rows: int) -> float:
        """Walk the architecture, convolution by convolution."""
        net, classes = self._architecture, self.n("classes")
        at = _Place(3, self.n("image"))
        work = 0.0
        for number, part in enumerate(net.parts):
            cost, at = self._walk(part, at)
            work += cost
            if self.mode == "train" and number < len(net.parts) - 1:
                cost, end = self._walk(net.head.convs, at._replace(side=net.head.side))
                widths = [end.channels * end.side**2, *filter(None, [net.head.hidden]), classes]
                work += cost + sum(flops.linear(1, i, o) for i, o in pairwise(widths))
        return rows * (work + flops.linear(1, at.channels, classes))

    def _walk(self, path: Sequence[Step], at: _Place) -> tuple[float, _Place]:
        """Return the FLOPs of a path over one image, and the shape that it ends with."""
        work = 0.0
        for step in path:
            if isinstance(step, Branches):
                ends = [self._walk(branch, at) for branch in step.paths]
                work += sum(cost for cost, _ in ends)
                at = _Place(sum(end.channels for _, end in ends), ends[0][1].side)
            elif isinstance(step, Pool) and step.stride == 2:
                at = at._replace(side=(at.side - 3 + step.ceil) // 2 + 1)
            elif isinstance(step, Conv):
                side = (at.side - (step.high if step.valid else 1)) // step.stride + 1
                channels = step.channels * self.n("width") // self._architecture.width
                work += 2.0 * side * side * at.channels * channels * step.high * step.wide
                at = _Place(channels, side)
        return work, at


class _Place(NamedTuple):
    """Channels and side of what a convolution reads."""

    channels: int
    side: int
