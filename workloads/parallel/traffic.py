"""What a training step sends, in closed form: told in the record, and held in tests against what is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

NUMBER = 4
"""Bytes of a number in fp32."""
INDEX = 8
"""Bytes of an index."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one rank takes part in, of one kind of collective, in one training step.

    It is at precision fp32 or tf32, and without activation checkpoints.

    The kinds are `all_reduce`, `all_gather`, `reduce_scatter`, `all_to_all`, `broadcast`, `send` and `recv`.
    """

    kind: str
    bytes: float
    """Of the tensors: a gather's result, and what any other collective is given, all calls together."""
    calls: int | None = None
    """None where torch joins weights into buckets as it likes."""


def gradient_bytes(weights: Iterable[nn.Parameter]) -> int:
    """Return the bytes of the gradients of those weights that are trained."""
    return NUMBER * sum(weight.numel() for weight in weights if weight.requires_grad)


def padded_bytes(weights: Iterable[nn.Parameter], parts: int) -> int:
    """Return the bytes of those weights whose rows are padded to a multiple of `parts`."""
    return NUMBER * sum(-(-len(w) // parts) * parts * (w.numel() // len(w)) for w in weights)


def told(step: Iterable[Traffic]) -> dict[str, Any]:
    """Return a step's traffic for the record, by kind."""
    return {one.kind: {"bytes": one.bytes, "calls": one.calls} for one in step}
