"""Vision transformer: patches as words, pre-norm blocks, the class token's state classified.

No dropout: a benchmark step is the same work every time.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models.tensor_split import Split

NORM_EPS = 1e-12


class SelfAttention(nn.Module):
    """Attention of every position over every position."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def split(self) -> Split:
        """Split by heads."""
        return Split({"qkv": (self.out.in_features,) * 3}, ("out",), counts=("heads",))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d)."""
        q, k, v = torch.unflatten(self.qkv(x), -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        attended: torch.Tensor = self.out(y.transpose(1, 2).flatten(2))
        return attended


class Block(nn.Module):
    """Attention and a feed-forward network, each after its norm and beside its residual."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden, NORM_EPS)
        self.attention = SelfAttention(hidden, heads)
        self.norm2 = nn.LayerNorm(hidden, NORM_EPS)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)

    def split(self) -> Split:
        """Split the inner layer."""
        return Split({"up": (self.up.out_features,)}, ("down",))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d)."""
        return self.feed(x + self.attention(self.norm1(x)))

    def feed(self, x: torch.Tensor) -> torch.Tensor:
        """Add to x (B, S, d) what the feed-forward network makes of it."""
        grown: torch.Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return grown


class ViT(nn.Module):
    """Patch projection, class token and positions, blocks, a norm, and a linear classifier."""

    entry, exit = ("project", "first", "position"), ("norm", "head")

    def __init__(
        self, *, patches: int, patch: int, hidden: int, layers: int, heads: int, classes: int
    ) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, hidden, patch, patch)
        self.first = nn.Parameter(torch.empty(1, 1, hidden))
        self.position = nn.Parameter(torch.empty(1, patches + 1, hidden))
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden, NORM_EPS)
        self.head = nn.Linear(hidden, classes)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=0.02)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Return class token and patches with their positions, (B, S, d)."""
        x = self.project(images).flatten(2).transpose(1, 2)
        return torch.cat((self.first.expand(len(x), -1, -1), x), 1) + self.position

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return class logits (B, classes) for images (B, 3, H, W) of the size that it was built for."""
        return self.leave(self.through(self.blocks, self.embed(images)))

    def through(self, blocks: Iterable[nn.Module], x: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d)."""
        for block in blocks:
            x = block(x)
        return x

    def leave(self, x: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes) of the class token's state."""
        logits: torch.Tensor = self.head(self.norm(x[:, 0]))
        return logits
