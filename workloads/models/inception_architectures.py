"""GoogLeNet and Inception v3 as data, which is built and counted. Loads without torch."""

from __future__ import annotations

from typing import NamedTuple


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
