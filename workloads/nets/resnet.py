"""ResNet with bottleneck blocks, the stride in the 3x3 convolution (often called v1.5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

EXPANSION = 4


class ConvNorm(nn.Sequential):
    """A convolution without bias, padded to keep the size at stride 1, and its batch norm."""

    def __init__(self, fan_in: int, fan_out: int, kernel: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(fan_in, fan_out, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(convolution, nn.BatchNorm2d(fan_out))


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, beside a shortcut that is projected where the shape changes."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        fan_out = EXPANSION * width
        self.down = ConvNorm(fan_in, width, 1)
        self.middle = ConvNorm(width, width, 3, stride)
        self.up = ConvNorm(width, fan_out, 1)
        same = stride == 1 and fan_in == fan_out
        self.shortcut = nn.Identity() if same else ConvNorm(fan_in, fan_out, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in, H, W) to (N, 4·width, H/stride, W/stride)."""
        inner = torch.relu(self.middle(torch.relu(self.down(x))))
        return torch.relu(self.up(inner) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, stages of which all but the first halve the size, mean pool, classifier."""

    def __init__(self, *, stages: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        self.stem = ConvNorm(3, width, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks: list[nn.Module] = []
        channels = width
        for stage, count in enumerate(stages):
            inner = width << stage
            for block in range(count):
                blocks.append(Bottleneck(channels, inner, 2 if stage and block == 0 else 1))
                channels = EXPANSION * inner
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return class logits (N, classes) for images (N, 3, H, W)."""
        x = self.pool(torch.relu(self.stem(images)))
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits
