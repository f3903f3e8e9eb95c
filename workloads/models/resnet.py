"""ResNet with basic or bottleneck blocks, the stride in a 3x3 convolution (often called v1.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import nn

EXPANSION = 4


Norm = Callable[[int], nn.Module]
"""A normalisation of this many channels."""


class ConvNorm(nn.Sequential):
    """A convolution without bias, padded to keep the size at stride 1, and its norm."""

    def __init__(
        self, fan_in: int, fan_out: int, kernel: int, stride: int = 1, norm: Norm = nn.BatchNorm2d
    ) -> None:
        convolution = nn.Conv2d(fan_in, fan_out, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(convolution, norm(fan_out))


class Basic(nn.Module):
    """3x3, 3x3, beside a shortcut that is projected where the shape changes."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(fan_in, width, 3, stride)
        self.second = ConvNorm(width, width, 3)
        same = stride == 1 and fan_in == width
        self.shortcut = nn.Identity() if same else ConvNorm(fan_in, width, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in, H, W) to (N, width, H/stride, W/stride)."""
        inner = self.first(x).relu_()
        out: torch.Tensor = self.second(inner).add_(self.shortcut(x)).relu_()
        return out


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, beside a shortcut that is projected where the shape changes."""

    def __init__(self, fan_in: int, width: int, stride: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        fan_out = EXPANSION * width
        self.down = ConvNorm(fan_in, width, 1, norm=norm)
        self.middle = ConvNorm(width, width, 3, stride, norm)
        self.up = ConvNorm(width, fan_out, 1, norm=norm)
        same = stride == 1 and fan_in == fan_out
        self.shortcut = nn.Identity() if same else ConvNorm(fan_in, fan_out, 1, stride, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in, H, W) to (N, 4·width, H/stride, W/stride)."""
        inner = self.middle(self.down(x).relu_()).relu_()
        out: torch.Tensor = self.up(inner).add_(self.shortcut(x)).relu_()
        return out


def bottlenecks(stages: Sequence[int], width: int, norm: Norm = nn.BatchNorm2d) -> list[list[nn.Module]]:
    """Return the blocks of each stage; each stage but the first halves the size and doubles the channels."""
    built: list[list[nn.Module]] = []
    channels = width
    for stage, count in enumerate(stages):
        inner = width << stage
        first = Bottleneck(channels, inner, 2 if stage else 1, norm)
        channels = EXPANSION * inner
        built.append([first, *(Bottleneck(channels, inner, 1, norm) for _ in range(count - 1))])
    return built


def _basics(stages: Sequence[int], width: int) -> list[list[nn.Module]]:
    """Return the same of basic blocks."""
    built: list[list[nn.Module]] = []
    channels = width
    for stage, count in enumerate(stages):
        first = Basic(channels, width << stage, 2 if stage else 1)
        channels = width << stage
        built.append([first, *(Basic(channels, channels, 1) for _ in range(count - 1))])
    return built


class ResNet(nn.Module):
    """Stem, stages of which all but the first halve the size, mean pool, classifier."""

    def __init__(self, *, stages: Sequence[int], basic: bool, width: int, classes: int) -> None:
        super().__init__()
        self.stem = ConvNorm(3, width, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks = (_basics if basic else bottlenecks)(stages, width)
        self.blocks = nn.ModuleList(chain.from_iterable(blocks))
        features = width << len(stages) - 1
        self.head = nn.Linear(features if basic else EXPANSION * features, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return class logits (N, classes) for images (N, 3, H, W)."""
        x = self.pool(self.stem(images).relu_())
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits
