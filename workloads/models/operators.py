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


class TrainingState(nn.Module):
    """Square weights, and for each the two moments that AdamW keeps."""

    def __init__(self, tensors: int, hidden: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(hidden, hidden) for _ in range(tensors))
        for number in range(tensors):
            for moment in ("first", "second"):
                self.register_buffer(f"{moment}{number}", torch.rand(hidden, hidden))


class Copies(nn.Module):
    """Rows of bytes in the host's memory and as many on the device that is torch's default now."""

    def __init__(self, shape: tuple[int, int], *, to_device: bool, pinned: bool) -> None:
        super().__init__()
        there = torch.randint(256, shape, dtype=torch.uint8)
        here = torch.randint(256, shape, dtype=torch.uint8, device="cpu")
        here = here.pin_memory() if pinned else here
        self.source, self.target = (here, there) if to_device else (there, here)

    def forward(self, rows: int) -> torch.Tensor:
        """Copy that many rows, each behind the one before it; return their target, (rows, bytes)."""
        for source, target in zip(self.source[:rows], self.target[:rows], strict=True):
            target.copy_(source, non_blocking=True)
        return self.target[:rows]
