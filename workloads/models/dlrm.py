"""DLRM: a network over the dense features, embedding tables, their pairs' products, a network over all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn


def network(widths: Sequence[int]) -> nn.Sequential:
    """Build linear layers of these widths, a ReLU between each two."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class DLRM(nn.Module):
    """All tables lie in one weight, one behind the other, so that one kernel looks them all up."""

    first_row: torch.Tensor
    pairs: torch.Tensor

    def __init__(self, *, dense: Sequence[int], over: Sequence[int], tables: int, rows: int) -> None:
        super().__init__()
        self.dense = network(dense)
        self.tables = nn.EmbeddingBag(tables * rows, dense[-1], mode="sum")
        self.over = network(over)
        nn.init.uniform_(self.tables.weight, -(rows**-0.5), rows**-0.5)
        self.register_buffer("first_row", torch.arange(tables)[:, None] * rows, persistent=False)
        first, second = torch.tril_indices(tables + 1, tables + 1, -1)
        self.register_buffer("pairs", first * (tables + 1) + second, persistent=False)

    def forward(self, dense: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return click logits (B,) for dense features (B, 13) and rows (B, tables, bag)."""
        samples, tables, _ = rows.shape
        x = torch.relu(self.dense(dense))
        looked_up = self.tables((rows + self.first_row).flatten(0, 1)).view(samples, tables, -1)
        vectors = torch.cat((x[:, None], looked_up), 1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        logits: torch.Tensor = self.over(torch.cat((x, products.index_select(1, self.pairs)), 1))
        return logits.squeeze(1)
