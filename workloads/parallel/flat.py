"""A model's weights as one tensor, and its gradients as another: one transfer moves them all."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def flatten(weights: Iterable[nn.Parameter]) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay trained weights out behind one another; return them and their gradients as one tensor each."""
    held = [weight for weight in weights if weight.requires_grad]
    flat = torch.cat([weight.detach().flatten() for weight in held])
    gradients, start = torch.zeros_like(flat), 0
    for weight in held:
        part = slice(start, start := start + weight.numel())
        weight.data, weight.grad = flat[part].view_as(weight), gradients[part].view_as(weight)
    return flat, gradients
