"""Weights that are stored smaller than they are used: an index into a codebook, or two thin factors."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize


class Lookup(nn.Module):
    """A parametrisation of a weight by a codebook: which value each weight has, packed into bytes.

    Args:
        weight: Each weight becomes its nearest value.
        codebook: At most 2 to the power of `bits` values, ascending.
        bits: Of an index: 1, 2, 4 or 8.
    """

    shifts: torch.Tensor
    packed: torch.Tensor

    def __init__(self, weight: torch.Tensor, codebook: torch.Tensor, bits: int) -> None:
        super().__init__()
        self.shape, self.mask = weight.shape, (1 << bits) - 1
        shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=weight.device)
        indices = torch.bucketize(weight.flatten(), (codebook[1:] + codebook[:-1]) / 2)
        indices = F.pad(indices, (0, -len(indices) % len(shifts))).to(torch.uint8)
        packed = (indices.view(-1, len(shifts)) << shifts).sum(1, dtype=torch.uint8)
        self.register_buffer("shifts", shifts)
        self.register_buffer("packed", packed)

    def forward(self, codebook: torch.Tensor) -> torch.Tensor:
        """Return the weights."""
        indices = (self.packed[:, None] >> self.shifts & self.mask).flatten()
        return codebook.index_select(0, indices[: self.shape.numel()].int()).view(self.shape)


def share(layer: nn.Linear | nn.Conv2d, codebook: torch.Tensor, bits: int) -> None:
    """Store a layer's weight as a codebook, which trains in its place, and indices."""
    weight = layer.weight
    lookup = Lookup(weight.detach(), codebook, bits)
    layer.weight = nn.Parameter(codebook, requires_grad=weight.requires_grad)
    parametrize.register_parametrization(layer, "weight", lookup, unsafe=True)


def kmeans(values: torch.Tensor, count: int, iterations: int) -> torch.Tensor:
    """Return at most `count` means of clusters of `values` (N,), ascending, by Lloyd's rounds on a line.

    Up to `count` distinct values are their own means. Else it starts from equal steps between the extremes;
    a cluster that loses all its values stays where it is.
    """
    distinct: torch.Tensor = torch.unique(values)
    if len(distinct) <= count:
        return distinct
    ordered = values.double().sort().values
    sums = F.pad(ordered.cumsum(0), (1, 0))
    means = ordered[0] + (ordered[-1] - ordered[0]) * torch.linspace(0, 1, count).to(ordered)
    for _ in range(iterations):
        ends = F.pad(torch.searchsorted(ordered, (means[1:] + means[:-1]) / 2), (1, 0))
        ends = F.pad(ends, (0, 1), value=len(ordered))
        sizes = ends.diff()
        means = torch.where(sizes > 0, sums[ends].diff() / sizes.clamp(min=1), means)
    return means.to(values.dtype)


class RowLinear(nn.Linear):
    """A linear layer that sees any input (…, in) as rows (N, in), for kernels that treat each alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (…, in) to (…, out)."""
        return super().forward(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)


class HalfLinear(nn.Linear):
    """A linear layer in bf16 between others of any format."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (…, in) to (…, out), in the format of x."""
        return super().forward(x.to(torch.bfloat16)).to(x.dtype)


class LowRankLinear(nn.Module):
    """A linear layer as a product of two: x → second(first(x)).

    Args:
        layer: Its weight (out, in) is cut to its largest `rank` singular values.
        rank: At most the smaller side.
        factors: The weight's singular value decomposition.
    """

    def __init__(
        self, layer: nn.Linear, rank: int, factors: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> None:
        super().__init__()
        left, values, right = factors
        root = values[:rank].sqrt()
        self.in_features, self.out_features, trains = (
            layer.in_features,
            layer.out_features,
            layer.weight.requires_grad,
        )
        self.down = nn.Parameter((root[:, None] * right[:rank]).contiguous(), requires_grad=trains)
        self.up = nn.Parameter((left[:, :rank] * root).contiguous(), requires_grad=trains)
        self.bias = layer.bias

    @property
    def weight(self) -> torch.Tensor:
        """The product, (out, in), for models that look at a layer's weight."""
        return self.up @ self.down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        return F.linear(F.linear(x, self.down), self.up, self.bias)
