"""A text classifier over a bag of embeddings: mean of the word vectors, then a feed-forward network."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class BagClassifier(nn.Module):
    """Mean embedding of the tokens that are not padding, `layers` hidden layers with ReLU, class logits."""

    def __init__(self, *, vocab: int, hidden: int, width: int, layers: int, classes: int) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab, hidden, mode="mean", padding_idx=0)
        sizes = [hidden] + [width] * layers
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return class logits (B, classes) for tokens (B, S), 0 being padding."""
        x = self.bag(tokens)
        for layer in self.hidden:
            x = torch.relu(layer(x))
        logits: torch.Tensor = self.head(x)
        return logits
