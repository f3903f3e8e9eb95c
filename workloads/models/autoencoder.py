"""A convolutional autoencoder: strided convolutions down, transposed ones up, a vector between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn


class Autoencoder(nn.Module):
    """Each convolution halves or doubles the side, by a 4x4 kernel that overlaps evenly."""

    def __init__(self, *, image: int, widths: Sequence[int], latent: int, variational: bool) -> None:
        super().__init__()
        self.variational = variational
        side = image >> (len(widths) - 1)
        features = widths[-1] * side * side
        down: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            down += [nn.Conv2d(fan_in, fan_out, 4, 2, 1), nn.ReLU()]
        up: list[nn.Module] = []
        for fan_in, fan_out in pairwise(reversed(widths)):
            up += [nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1)]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(features, latent * (1 + variational)))
        self.decoder = nn.Sequential(
            nn.Linear(latent, features), nn.Unflatten(1, (widths[-1], side, side)), *up
        )

    def forward(
        self, images: torch.Tensor, noise: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the images made from images (B, 3, H, W), and the vector's mean and log variance (B, L).

        Noise (B, L) draws the vector; without it the vector is the mean. Plain, both returned are the vector.
        """
        code = self.encoder(images)
        mean, log_variance = code.chunk(2, 1) if self.variational else (code, code)
        drawn = mean if noise is None else mean + (0.5 * log_variance).exp() * noise
        return self.decoder(drawn), mean, log_variance
