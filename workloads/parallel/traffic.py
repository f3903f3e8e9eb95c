"""What a training step sends, in closed form: told in the record, and held in tests against what is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
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


def own_part(weight: torch.Tensor) -> torch.Tensor:
    """Return what this rank has of a weight or gradient, which is all of one that is not spread."""
    part: torch.Tensor = weight.to_local() if hasattr(weight, "to_local") else weight
    return part


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Return a model's weights that are not frozen."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def gradient_bytes(weights: Iterable[nn.Parameter]) -> int:
    """Return the bytes of this rank's gradients of those weights that are trained."""
    return NUMBER * sum(own_part(weight).numel() for weight in weights if weight.requires_grad)


def padded_bytes(weights: Iterable[nn.Parameter], parts: int) -> int:
    """Return the bytes of this rank's weights, their rows padded to a multiple of `parts`."""
    own = [own_part(weight) for weight in weights]
    return NUMBER * sum(-(-len(w) // parts) * parts * (w.numel() // len(w)) for w in own)


def combined(*steps: Iterable[Traffic]) -> list[Traffic]:
    """Return what is sent in all, one entry of a kind."""
    total: dict[str, Traffic] = {}
    for one in chain(*steps):
        before = total.get(one.kind, Traffic(one.kind, 0, 0))
        known = one.calls is not None and before.calls is not None
        calls = one.calls + before.calls if known else None  # type: ignore[operator]
        total[one.kind] = Traffic(one.kind, before.bytes + one.bytes, calls)
    return list(total.values())


def traffic_evidence(step: Iterable[Traffic]) -> dict[str, Any]:
    """Return a step's traffic for the record, by kind."""
    return {one.kind: {"bytes": one.bytes, "calls": one.calls} for one in step}
