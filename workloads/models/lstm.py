"""A recurrent language model with tied embeddings."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
State = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
"""Hidden state (layers, batch, hidden); for an LSTM hidden and cell state, both of that shape."""


class RecurrentModel(nn.Module):
    """Embedding, stacked recurrent layers as wide as it, and the same embedding as the output layer."""

    def __init__(self, *, cell: str, vocab: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocab, hidden)
        self.recurrent = CELLS[cell](hidden, hidden, layers, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(vocab))
        nn.init.normal_(self.token.weight, std=hidden**-0.5)

    def forward(
        self, tokens: torch.Tensor, state: State | None = None, *, last_only: bool = False
    ) -> tuple[torch.Tensor, State]:
        """Return logits (B, S, V) for tokens (B, S), or (B, V) of the last position, and the new state."""
        x, state = self.recurrent(self.token(tokens), state)
        if last_only:
            x = x[:, -1]
        return F.linear(x, self.token.weight, self.bias), state
