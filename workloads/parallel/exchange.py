"""Collectives inside a forward pass, with their gradients; every rank of the group calls them alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist


class _AllToAll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, sent: Sequence[int] | None, received: Sequence[int] | None
    ) -> torch.Tensor:
        ctx.sent, ctx.received = sent, received
        return _exchanged(x, sent, received)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _exchanged(gradient, ctx.received, ctx.sent), None, None


def _exchanged(x: torch.Tensor, sent: Sequence[int] | None, received: Sequence[int] | None) -> torch.Tensor:
    rows = len(x) if received is None else sum(received)
    result = x.new_empty(rows, *x.shape[1:])
    dist.all_to_all_single(
        result,
        x.contiguous(),
        None if received is None else list(received),
        None if sent is None else list(sent),
    )
    return result


def all_to_all(
    x: torch.Tensor, sent: Sequence[int] | None = None, received: Sequence[int] | None = None
) -> torch.Tensor:
    """Send rows of x to the ranks in their order, and return the rows received from them, in that order.

    Args:
        x: Rows in the first dimension.
        sent: Rows for each rank; None is equal shares.
        received: Rows from each rank; None is equal shares.
    """
    exchanged: torch.Tensor = _AllToAll.apply(x, sent, received)  # type: ignore[no-untyped-call]
    return exchanged


def all_gather(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Return every rank's x, of equal shapes, behind one another; its gradient is the sum of all ranks'."""
    world = dist.get_world_size()
    return torch.cat(all_to_all(x.expand(world, *x.shape)).unbind(), dim)
