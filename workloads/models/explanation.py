"""Why a vision transformer decided as it did: attention followed through the layers, integrated gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch

from workloads.models.vit import Block, SelfAttention, ViT


def mapped(attention: SelfAttention, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention's result (B, S, d) and its weights, the mean over the heads (B, S, S)."""
    batch, seq, hidden = x.shape
    q, k, v = attention.qkv(x).view(batch, seq, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(2, 3) * (hidden // attention.heads) ** -0.5).softmax(-1)
    y = (weights @ v).transpose(1, 2).reshape(batch, seq, hidden)
    return attention.out(y), weights.mean(1)


class Rollout(ViT):
    """A vision transformer that also says which patches its class token listened to.

    Attention rollout (Abnar and Zuidema 2020, section 3): the product over the layers of the heads' mean
    weights, half of it the residual's identity. One row of it is asked for, so that row alone is multiplied.
    """

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """Return class logits (B, classes) and the relevance of each patch (B, patches), in all at most 1."""
        x = self.embed(images)
        maps = []
        for block in self.blocks:
            block = cast("Block", block)
            attended, weights = mapped(block.attention, block.norm1(x))
            x = block.feed(x + attended)
            maps.append(weights)
        row = torch.zeros_like(maps[0][:, :1])
        row[:, :, 0] = 1.0
        for weights in reversed(maps):
            row = 0.5 * (row @ weights + row)
        return self.head(self.norm(x[:, 0])), row[:, 0, 1:]


def integrated_gradients(
    model: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, steps: int
) -> torch.Tensor:
    """Return how much each number of images (B, …) adds to the logit of the class that the model sees, fp32.

    The gradient's mean over `steps` points from the image to all zeros, times the image (Sundararajan et al.
    2017, equation 3). The first point is the image itself, and its class is explained. The model's weights
    should want no gradient.
    """
    seen: torch.Tensor | None = None
    with torch.inference_mode(mode=False), torch.enable_grad():  # inference mode knows no gradients
        total = torch.zeros_like(images, dtype=torch.float32)
        for step in range(steps, 0, -1):
            point = (images * (step / steps)).requires_grad_()
            logits = model(point)
            seen = logits.argmax(1, keepdim=True) if seen is None else seen
            logits.gather(1, seen).sum().backward()  # type: ignore[no-untyped-call]
            total += cast("torch.Tensor", point.grad)
    return total * images / steps
