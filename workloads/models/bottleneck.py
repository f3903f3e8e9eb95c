"""An adapter: a small network with a residual, behind a layer that stays as it is."""

from __future__ import annotations

import torch
from torch import nn


class Adapted(nn.Module):
    """A linear layer and a bottleneck behind it, which adds nothing at first."""

    def __init__(self, layer: nn.Linear, width: int) -> None:
        super().__init__()
        device = layer.weight.device
        self.layer = layer
        self.narrow = nn.Linear(layer.out_features, width, device=device)
        self.widen = nn.Linear(width, layer.out_features, device=device)
        nn.init.zeros_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)

    @property
    def weight(self) -> torch.Tensor:
        """The layer's own weight, for models that look at its format."""
        return self.layer.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        y = self.layer(x)
        adapted: torch.Tensor = y + self.widen(torch.relu(self.narrow(y)))
        return adapted
