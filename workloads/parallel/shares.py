"""What strategies share whose ranks have a part of the batch each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.parallel.base import Strategy
from workloads.transform import Cell

if TYPE_CHECKING:
    import torch


class Shares(Strategy):
    """A strategy under which every rank has an equal share of the batch, and counts it."""

    @property
    def shard(self) -> tuple[int, int]:
        """An equal share for each rank."""
        return self.ranks.rank, self.ranks.world

    @property
    def counts(self) -> bool:
        """Every rank counts its own share."""
        return True

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse a batch that does not split evenly."""
        return uneven_batch(cell, cell.ranks)

    def world_losses(self, losses: torch.Tensor) -> torch.Tensor:
        """Average the shares' losses."""
        from workloads.parallel.data import mean_over_ranks

        return mean_over_ranks(losses)


def uneven_batch(cell: Cell, shares: int) -> str | None:
    """Return why a batch cannot be shared: the mean over uneven shares is not the batch's."""
    batch = int(cell.size["batch"])
    if batch % (shares * cell.accumulate) == 0:
        return None
    micro = f" of {cell.accumulate} micro-batches each" if cell.accumulate > 1 else ""
    return f"batch {batch} does not divide into {shares} equal shares{micro}"
