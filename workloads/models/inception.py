"""Build an Inception network from its architecture, which is data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models import inception_architectures as data

if TYPE_CHECKING:
    from collections.abc import Sequence

NORM_EPS = 1e-3


class ResponseNorm(nn.Module):
    """x / (1 + 1e-4 · mean square of the neighbouring channels)^0.75, in any precision."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        reach = self.channels // 2
        squares = F.pad(x * x, (0, 0, 0, 0, reach, reach))
        total = sum(squares[:, i : i + x.shape[1]] for i in range(self.channels))
        return x * (1.0 + 1e-4 / self.channels * total) ** -0.75


class Join(nn.ModuleList):
    """Paths over one input, their outputs joined channel by channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, ΣC, H', W')."""
        return torch.cat([path(x) for path in self], 1)


class Head(nn.Module):
    """A classifier on the way, for training."""

    def __init__(self, pool: int, convs: nn.Module, features: int, hidden: int | None, classes: int) -> None:
        super().__init__()
        self.pool = pool
        self.convs = convs
        self.hidden = (
            nn.Identity() if hidden is None else nn.Sequential(nn.Linear(features, hidden), nn.ReLU())
        )
        self.out = nn.Linear(hidden or features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return class logits (N, classes) for a map (N, C, H, W)."""
        x = self.convs(F.adaptive_avg_pool2d(x, self.pool)).flatten(1)
        logits: torch.Tensor = self.out(self.hidden(x))
        return logits


class Inception(nn.Module):
    """The architecture's parts, the auxiliary classifiers between them if wanted, mean pool, classifier."""

    def __init__(self, net: data.Architecture, *, width: int, classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.net, self.width = net, width
        self.parts = nn.ModuleList()
        self.auxiliary = nn.ModuleList()
        channels = 3
        for number, steps in enumerate(net.parts):
            part, channels = self._path(steps, channels)
            self.parts.append(part)
            if auxiliary and number < len(net.parts) - 1:
                convs, wide = self._path(net.head.convs, channels)
                side = net.head.side - sum(conv.high - 1 for conv in net.head.convs if conv.valid)
                self.auxiliary.append(Head(net.head.side, convs, wide * side**2, net.head.hidden, classes))
        self.head = nn.Linear(channels, classes)

    def _path(self, steps: Sequence[data.Step], channels: int) -> tuple[nn.Sequential, int]:
        """Build a path; return it with the channels that it ends with."""
        modules: list[nn.Module] = []
        for step in steps:
            if isinstance(step, data.Branches):
                paths, widths = zip(*(self._path(path, channels) for path in step.paths), strict=True)
                modules.append(Join(paths))
                channels = sum(widths)
            elif isinstance(step, data.Conv):
                wide = step.channels * self.width // self.net.width
                modules += self._convolution(step, channels, wide)
                channels = wide
            else:
                modules.append(_fixed(step))
        return nn.Sequential(*modules), channels

    def _convolution(self, step: data.Conv, fan_in: int, fan_out: int) -> list[nn.Module]:
        padding = (0, 0) if step.valid else (step.high // 2, step.wide // 2)
        norm = self.net.batch_norm
        kernel = (step.high, step.wide)
        convolution = nn.Conv2d(fan_in, fan_out, kernel, step.stride, padding, bias=not norm)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        return [convolution, *([nn.BatchNorm2d(fan_out, NORM_EPS)] if norm else []), nn.ReLU(inplace=True)]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return class logits (N, classes) for images (N, 3, H, W), and the auxiliary ones."""
        x, extra = images, []
        for number, part in enumerate(self.parts):
            x = part(x)
            if number < len(self.auxiliary):
                extra.append(self.auxiliary[number](x))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits, extra


def _fixed(step: data.Pool | data.Normalise) -> nn.Module:
    if isinstance(step, data.Normalise):
        return ResponseNorm(step.channels)
    padding = 1 if step.stride == 1 else 0
    if step.kind == "max":
        return nn.MaxPool2d(3, step.stride, padding, ceil_mode=step.ceil)
    return nn.AvgPool2d(3, step.stride, padding)
