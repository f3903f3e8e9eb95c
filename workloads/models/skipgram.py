"""Two tables of word vectors: one for words, one for their neighbours."""

from __future__ import annotations

import torch
from torch import nn


class SkipGram(nn.Module):
    """Scores of words beside each other. Both tables are drawn: a zero one would leave a gradient at zero."""

    def __init__(self, *, vocab: int, hidden: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab, hidden)
        self.neighbour = nn.Embedding(vocab, hidden)
        for table in (self.word, self.neighbour):
            nn.init.uniform_(table.weight, -0.5 / hidden**0.5, 0.5 / hidden**0.5)

    def forward(self, tokens: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Return v·u (B, K) of words (B,) with others (B, K)."""
        return torch.bmm(self.neighbour(others), self.word(tokens)[:, :, None]).squeeze(2)
