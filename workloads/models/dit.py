"""Diffusion transformer: patches of a noisy image, blocks modulated by its step and class.

The published model starts its modulation at zero; here it is drawn, so that the first step is full work.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models.vit import SelfAttention

NORM_EPS = 1e-6


def _modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Norm x (B, S, d) without weights, then scale and shift it by vectors (B, d)."""
    normed = F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
    return normed * (1.0 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Attention and a feed-forward network, each modulated before and gated behind."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden, heads)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)
        self.modulation = nn.Linear(hidden, 6 * hidden)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d) under the condition (B, d)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(condition)).chunk(6, -1)
        x = x + gate1[:, None] * self.attention(_modulate(x, shift1, scale1))
        inner = F.gelu(self.up(_modulate(x, shift2, scale2)), approximate="tanh")
        grown: torch.Tensor = x + gate2[:, None] * self.down(inner)
        return grown


def waves(at: torch.Tensor, count: int) -> torch.Tensor:
    """Return cosines and sines (N, count) of positions (N,), of wavelengths 2π to 10000·2π, in fp32."""
    half = count // 2
    frequency = 10_000.0 ** (-torch.arange(half, device=at.device, dtype=torch.float32) / half)
    angles = torch.outer(at.float(), frequency)
    return torch.cat((angles.cos(), angles.sin()), 1)


class DiT(nn.Module):
    """Predicts noise and its variance's interpolation, both of the image's shape; 1 class more is "none"."""

    def __init__(
        self, *, image: int, channels: int, patch: int, hidden: int, layers: int, heads: int, classes: int,
        waves: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patch, self.waves, self.side = patch, waves, image // patch
        self.project = nn.Conv2d(channels, hidden, patch, patch)
        self.step = nn.Sequential(nn.Linear(waves, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.label = nn.Embedding(classes + 1, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.modulation = nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, patch * patch * 2 * channels)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def positions(self, like: torch.Tensor) -> torch.Tensor:
        """Return each patch's row and column as waves, (S, d)."""
        at = torch.arange(self.side, device=like.device)
        line = waves(at, like.shape[-1] // 2)
        rows, columns = line.repeat_interleave(self.side, 0), line.repeat(self.side, 1)
        return torch.cat((rows, columns), 1).to(like.dtype)

    def forward(
        self, images: torch.Tensor, steps: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return noise and variance (B, C, H, W) for noisy images, their steps (B,) and classes (B,)."""
        x = self.project(images).flatten(2).transpose(1, 2)
        x = x + self.positions(x)
        condition = self.step(waves(steps, self.waves).to(x.dtype)) + self.label(labels)
        for block in self.blocks:
            x = block(x, condition)
        x = self.out(_modulate(x, *self.modulation(F.silu(condition)).chunk(2, -1)))
        # (B, rows, columns, high, wide, C) to (B, C, rows·high, columns·wide)
        x = x.view(len(x), self.side, self.side, self.patch, self.patch, -1).permute(0, 5, 1, 3, 2, 4)
        noise, variance = x.flatten(4, 5).flatten(2, 3).chunk(2, 1)
        return noise, variance
