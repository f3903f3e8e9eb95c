"""What a model needs to be cut into pipeline stages: an entry, its blocks, and an exit.

A model's forward pass in training is `leave(through(blocks, embed(*inputs), *inputs), *inputs)`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import nn


class Staged(Protocol):
    """A model that can be cut; a stage holds some blocks, and perhaps an end."""

    entry: tuple[str, ...]
    """Names of the modules and parameters that `embed` uses."""
    exit: tuple[str, ...]
    """Names of those that `leave` uses; one may be in both."""

    def embed(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return what enters the first block."""
        ...

    def through(self, blocks: Iterable[nn.Module], x: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        """Return what leaves the last of these blocks, in the shape that entered where all are alike."""
        ...

    def leave(self, x: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the model's outputs from what left the last block."""
        ...
