"""Modules of the single-operator workloads that torch has no module for."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Scaled dot-product attention, in which several query heads may share a key and a value head."""

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Map (B, heads, S, size), and keys and values (B, kv heads, T, size), to (B, heads, S, size)."""
        shared = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, enable_gqa=shared)


class WeightsAndGradients(nn.Module):
    """Square weights, and for each a gradient of its own."""

    def __init__(self, tensors: int, hidden: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(hidden, hidden) for _ in range(tensors))
        for number in range(tensors):
            self.register_buffer(f"gradient{number}", torch.randn(hidden, hidden))

    def assign_gradients(self) -> None:
        """Let every weight's gradient be its buffer; nothing is copied."""
        for weight, gradient in zip(self.weights, self.buffers(), strict=True):
            weight.grad = gradient
