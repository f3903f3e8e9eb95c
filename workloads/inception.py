"""Multi-branch convolutional networks: GoogLeNet and Inception v3. The architectures are data."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from workloads import flops
from workloads.base import Batch, Size, WorkloadSpec
from workloads.images import ImageClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn


class Conv(NamedTuple):
    """A convolution that keeps the size at stride 1 unless `valid`, and its ReLU."""

    channels: int
    high: int = 1
    wide: int = 1
    stride: int = 1
    valid: bool = False


class Pool(NamedTuple):
    """A 3x3 pool; a stride of 2 has no padding, and `ceil` keeps an incomplete last window."""

    kind: str
    stride: int = 1
    ceil: bool = False


class Normalise(NamedTuple):
    """Local response normalisation over this many channels."""

    channels: int = 5


class Branches(NamedTuple):
    """Paths over one input, whose outputs are joined channel by channel."""

    paths: tuple[Steps, ...]


Step = Conv | Pool | Normalise | Branches
Steps = tuple[Step, ...]


class Head(NamedTuple):
    """An auxiliary classifier of training: mean pool to `side`, convolutions, a hidden layer or none."""

    side: int
    convs: tuple[Conv, ...]
    hidden: int | None
    weight: float
    """Share of its loss in the sum."""


class Architecture(NamedTuple):
    """Parts of a network, an auxiliary head behind each part but the last."""

    parts: tuple[Steps, ...]
    head: Head
    width: int
    """Published channels of the first convolution; all channels scale with it."""
    batch_norm: bool
    """A batch norm behind each convolution; without one the convolution has a bias."""
    least_side: int
    """The smallest image, in pixels a side."""


def _google(c1: int, c3: tuple[int, int], c5: tuple[int, int], pool: int) -> Branches:
    return Branches((
        (Conv(c1),),
        (Conv(c3[0]), Conv(c3[1], 3, 3)),
        (Conv(c5[0]), Conv(c5[1], 5, 5)),
        (Pool("max"), Conv(pool)),
    ))  # fmt: skip


def _square(pool: int) -> Branches:
    return Branches((
        (Conv(64),),
        (Conv(48), Conv(64, 5, 5)),
        (Conv(64), Conv(96, 3, 3), Conv(96, 3, 3)),
        (Pool("mean"), Conv(pool)),
    ))  # fmt: skip


def _rows_and_columns(c: int) -> Branches:
    return Branches((
        (Conv(192),),
        (Conv(c), Conv(c, 1, 7), Conv(192, 7, 1)),
        (Conv(c), Conv(c, 7, 1), Conv(c, 1, 7), Conv(c, 7, 1), Conv(192, 1, 7)),
        (Pool("mean"), Conv(192)),
    ))  # fmt: skip


_FORK = Branches(((Conv(384, 1, 3),), (Conv(384, 3, 1),)))
_WIDE = Branches((
    (Conv(320),),
    (Conv(384), _FORK),
    (Conv(448), Conv(384, 3, 3), _FORK),
    (Pool("mean"), Conv(192)),
))  # fmt: skip
_HALVE = Pool("max", 2, ceil=True)

ARCHITECTURES = {
    1: Architecture(
        parts=(
            (
                Conv(64, 7, 7, 2), _HALVE, Normalise(), Conv(64), Conv(192, 3, 3), Normalise(), _HALVE,
                _google(64, (96, 128), (16, 32), 32), _google(128, (128, 192), (32, 96), 64), _HALVE,
                _google(192, (96, 208), (16, 48), 64),
            ),
            (
                _google(160, (112, 224), (24, 64), 64), _google(128, (128, 256), (24, 64), 64),
                _google(112, (144, 288), (32, 64), 64),
            ),
            (
                _google(256, (160, 320), (32, 128), 128), _HALVE,
                _google(256, (160, 320), (32, 128), 128), _google(384, (192, 384), (48, 128), 128),
            ),
        ),
        head=Head(4, (Conv(128),), hidden=1024, weight=0.3),
        width=64,
        batch_norm=False,
        least_side=32,
    ),
    3: Architecture(
        parts=(
            (
                Conv(32, 3, 3, 2, valid=True), Conv(32, 3, 3, valid=True), Conv(64, 3, 3), Pool("max", 2),
                Conv(80), Conv(192, 3, 3, valid=True), Pool("max", 2),
                _square(32), _square(64), _square(64),
                Branches((
                    (Conv(384, 3, 3, 2, valid=True),),
                    (Conv(64), Conv(96, 3, 3), Conv(96, 3, 3, 2, valid=True)),
                    (Pool("max", 2),),
                )),
                _rows_and_columns(128), _rows_and_columns(160), _rows_and_columns(160),
                _rows_and_columns(192),
            ),
            (
                Branches((
                    (Conv(192), Conv(320, 3, 3, 2, valid=True)),
                    (Conv(192), Conv(192, 1, 7), Conv(192, 7, 1), Conv(192, 3, 3, 2, valid=True)),
                    (Pool("max", 2),),
                )),
                _WIDE, _WIDE,
            ),
        ),
        head=Head(5, (Conv(128), Conv(768, 5, 5, valid=True)), hidden=None, weight=0.4),
        width=32,
        batch_norm=True,
        least_side=75,
    ),
}  # fmt: skip
"""GoogLeNet as published (biases, response normalisation, 5x5 convolutions), and Inception v3."""


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

        from workloads.nets import inception

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
