"""An LSTM language model with tied embeddings."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

State = tuple[torch.Tensor, torch.Tensor]
"""Hidden and cell state, each (layers, batch, hidden)."""


class LSTMModel(nn.Module):
    """Embedding, stacked LSTM layers as wide as the embedding, and the same embedding as the output layer."""

    def __init__(self, *, vocab: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocab, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(vocab))
        nn.init.normal_(self.token.weight, std=hidden**-0.5)

    def forward(
        self, tokens: torch.Tensor, state: State | None = None, *, last_only: bool = False
    ) -> tuple[torch.Tensor, State]:
        """Return logits (B, S, V) for tokens (B, S), or (B, V) of the last position, and the new state."""
        x, state = self.lstm(self.token(tokens), state)
        if last_only:
            x = x[:, -1]
        return F.linear(x, self.token.weight, self.bias), state
