"""DCGAN (Radford et al. 2016): a generator of images and a discriminator that tells them from real ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn
from torch.func import functional_call


class Verdicts(NamedTuple):
    """Logits (B,) that images are real."""

    real: torch.Tensor
    made: torch.Tensor
    """Of made ones, for the discriminator: the generator gets no gradient."""
    passed: torch.Tensor
    """Of the same ones, for the generator: the discriminator gets no gradient."""


class GAN(nn.Module):
    """4x4 convolutions, each of which halves or doubles the side, with batch norm but at the pixels.

    Args:
        widths: Channels of the images and of each layer behind them, the last of which sees 4x4 places.
        latent: Numbers that an image is made of.
    """

    def __init__(self, *, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        up: list[nn.Module] = [nn.ConvTranspose2d(latent, widths[-1], 4, bias=False)]
        for fan_in, fan_out in pairwise(reversed(widths)):
            up += [
                nn.BatchNorm2d(fan_in),
                nn.ReLU(),
                nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1, bias=False),
            ]
        down: list[nn.Module] = [nn.Conv2d(widths[0], widths[1], 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for fan_in, fan_out in pairwise(widths[1:]):
            convolution = nn.Conv2d(fan_in, fan_out, 4, 2, 1, bias=False)
            down += [convolution, nn.BatchNorm2d(fan_out), nn.LeakyReLU(0.2)]
        self.generator = nn.Sequential(*up, nn.Tanh())
        self.discriminator = nn.Sequential(*down, nn.Conv2d(widths[-1], 1, 4, bias=False), nn.Flatten(0))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, noise: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor | Verdicts:
        """Return images (B, C, H, W) made of noise (B, L); with real ones of that shape, the verdicts."""
        made: torch.Tensor = self.generator(noise[:, :, None, None])
        if images is None:
            return made
        frozen = {name: tensor.detach() for name, tensor in self.discriminator.named_parameters()}
        return Verdicts(
            self.discriminator(images),
            self.discriminator(made.detach()),
            functional_call(self.discriminator, frozen, (made,)),
        )
