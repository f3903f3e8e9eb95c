"""Diffusion UNet (Ho et al. 2020, appendix B): residual blocks down and up, joined across, given the step.

The published model starts some convolutions at zero and drops out; here all are drawn and nothing is dropped,
so that every step is full work.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models.dit import waves
from workloads.models.vit import SelfAttention

GROUPS = 32
NORM_EPS = 1e-6


class Residual(nn.Module):
    """Two normed convolutions, the step's vector added between them, beside a shortcut."""

    def __init__(self, fan_in: int, fan_out: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, fan_in, NORM_EPS)
        self.convolution1 = nn.Conv2d(fan_in, fan_out, 3, 1, 1)
        self.step = nn.Linear(condition, fan_out)
        self.norm2 = nn.GroupNorm(GROUPS, fan_out, NORM_EPS)
        self.convolution2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1)
        self.shortcut = nn.Identity() if fan_in == fan_out else nn.Conv2d(fan_in, fan_out, 1)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Map (B, in, H, W) to (B, out, H, W) under the condition (B, c)."""
        inner = self.convolution1(F.silu(self.norm1(x))) + self.step(F.silu(condition))[:, :, None, None]
        grown: torch.Tensor = self.shortcut(x) + self.convolution2(F.silu(self.norm2(inner)))
        return grown


class Attend(nn.Module):
    """Attention of every place over every place, one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, NORM_EPS)
        self.attention = SelfAttention(channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        places = self.norm(x).flatten(2).transpose(1, 2)
        attended: torch.Tensor = self.attention(places).transpose(1, 2).view_as(x)
        return x + attended


class Stage(nn.Module):
    """A residual block, and attention where the places are few enough."""

    def __init__(self, fan_in: int, fan_out: int, condition: int, *, attend: bool) -> None:
        super().__init__()
        self.residual = Residual(fan_in, fan_out, condition)
        self.attend = Attend(fan_out) if attend else nn.Identity()

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Map (B, in, H, W) to (B, out, H, W) under the condition (B, c)."""
        attended: torch.Tensor = self.attend(self.residual(x, condition))
        return attended


class Upsample(nn.Module):
    """Doubles the side, then convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C, 2·H, 2·W)."""
        larger: torch.Tensor = self.convolution(F.interpolate(x, scale_factor=2.0))
        return larger


class UNet(nn.Module):
    """Predicts the noise in an image. Each level but the last halves the side; all meet their kin again.

    Args:
        widths: Channels of each level.
        blocks: Residual blocks of a level going down; going up there is one more.
        attend: Side at which blocks attend.
    """

    def __init__(self, *, image: int, channels: int, widths: Sequence[int], blocks: int, attend: int) -> None:
        super().__init__()
        self.waves, condition = widths[0], 4 * widths[0]
        self.step = nn.Sequential(nn.Linear(widths[0], condition), nn.SiLU(), nn.Linear(condition, condition))
        self.first = nn.Conv2d(channels, widths[0], 3, 1, 1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        side, wide, across = image, widths[0], [widths[0]]
        for level, width in enumerate(widths):
            for _ in range(blocks):
                self.down.append(Stage(wide, width, condition, attend=side == attend))
                wide = width
                across.append(wide)
            if level < len(widths) - 1:
                self.down.append(nn.Conv2d(wide, wide, 3, 2, 1))
                across.append(wide)
                side //= 2
        self.middle = nn.ModuleList(
            (Stage(wide, wide, condition, attend=True), Stage(wide, wide, condition, attend=False))
        )
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(Stage(wide + across.pop(), width, condition, attend=side == attend))
                wide = width
            if level:
                self.up.append(Upsample(wide))
                side *= 2
        self.norm = nn.GroupNorm(GROUPS, wide, NORM_EPS)
        self.last = nn.Conv2d(wide, channels, 3, 1, 1)

    def forward(self, images: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return the noise (B, C, H, W) in noisy images of that shape at their steps (B,)."""
        condition = self.step(waves(steps, self.waves).to(images.dtype))
        x = self.first(images)
        across = [x]
        for part in self.down:
            x = part(x, condition) if isinstance(part, Stage) else part(x)
            across.append(x)
        for stage in self.middle:
            x = stage(x, condition)
        for part in self.up:
            x = part(torch.cat((x, across.pop()), 1), condition) if isinstance(part, Stage) else part(x)
        noise: torch.Tensor = self.last(F.silu(self.norm(x)))
        return noise
