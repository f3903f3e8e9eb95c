"""Embedding tables that lie on different ranks."""

from __future__ import annotations

import torch
from torch import nn

from workloads.parallel.exchange import all_to_all


class SpreadTables(nn.Module):
    """The rank's own of `tables` equal tables, which `whole` holds one behind the other."""

    def __init__(self, whole: nn.EmbeddingBag, tables: int, rank: int, world: int) -> None:
        super().__init__()
        self.tables = tables
        self.shares = [tables // world + (other < tables % world) for other in range(world)]
        rows, before = whole.num_embeddings // tables, sum(self.shares[:rank])
        self.own, self.first_row = self.shares[rank], before * rows
        weight = whole.weight.detach()[self.first_row : self.first_row + self.own * rows].clone()
        self.bag = nn.EmbeddingBag(len(weight), weight.shape[1], mode=whole.mode, _weight=weight)
        self.bag.weight.requires_grad_(whole.weight.requires_grad)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return pooled rows (samples · tables, d) of row numbers over all tables (samples · tables, bag)."""
        world = len(self.shares)
        by_table = rows.view(-1, self.tables, rows.shape[1]).movedim(1, 0)
        wanted = all_to_all(by_table, self.shares, [self.own] * world)  # (ranks · own, samples, bag)
        pooled = self.bag(wanted.flatten(0, 1) - self.first_row).view(*wanted.shape[:2], -1)
        return all_to_all(pooled, [self.own] * world, self.shares).movedim(0, 1).flatten(0, 1)
