"""One collective of torch's default process group as a module."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn


class Exchange(nn.Module):
    """A collective of a kind; a result that is not the input itself is allocated once."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._result: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (1, N) to (1, N), in place in `all_reduce` and `broadcast`; every rank calls it alike.

        `all_gather` makes (1, N·ranks), `reduce_scatter` (1, N/ranks).
        """
        if self.kind == "all_reduce":
            dist.all_reduce(x)
            return x
        if self.kind == "broadcast":
            dist.broadcast(x, src=0)
            return x
        if self._result is None:
            self._result = x.new_empty(1, self._numbers(x.numel(), dist.get_world_size()))
        given, result = x[0], self._result[0]
        if self.kind == "all_gather":
            dist.all_gather_into_tensor(result, given)
        elif self.kind == "reduce_scatter":
            dist.reduce_scatter_tensor(result, given)
        else:
            dist.all_to_all_single(result, given)
        return self._result

    def _numbers(self, given: int, ranks: int) -> int:
        return {"all_gather": given * ranks, "reduce_scatter": given // ranks}.get(self.kind, given)
