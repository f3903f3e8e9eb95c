"""A text classifier over a bag of embeddings: mean of the word vectors, then a feed-forward network."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from workloads.models.tensor_split import Split


class BagClassifier(nn.Module):
    """Mean embedding of the tokens that are not padding, `layers` hidden layers with ReLU, class logits."""

    entry, exit = ("bag",), ("head",)

    def __init__(self, *, vocab: int, hidden: int, width: int, layers: int, classes: int) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab, hidden, mode="mean", padding_idx=0)
        sizes = [hidden] + [width] * layers
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], classes)

    def split(self) -> Split:
        """Split the layers in pairs; one that is left over stays whole."""
        pairs = range(0, len(self.hidden) - 1, 2)
        columns = {f"hidden.{i}": (cast("nn.Linear", self.hidden[i]).out_features,) for i in pairs}
        return Split(columns, tuple(f"hidden.{i + 1}" for i in pairs))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return class logits (B, classes) for tokens (B, S), 0 being padding."""
        return self.leave(self.through(self.hidden, self.embed(tokens)))

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the mean embedding, (B, d)."""
        mean: torch.Tensor = self.bag(tokens)
        return mean

    def through(self, blocks: Iterable[nn.Module], x: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Map (B, in) to (B, width)."""
        for layer in blocks:
            x = torch.relu(layer(x))
        return x

    def leave(self, x: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Return class logits (B, classes)."""
        logits: torch.Tensor = self.head(x)
        return logits
