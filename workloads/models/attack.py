"""Projected gradient descent: change images, within a bound, so that their classifier errs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F


def projected_gradients(
    model: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    labels: torch.Tensor,
    change: torch.Tensor,
    steps: int,
    bound: float,
    stride: float,
) -> torch.Tensor:
    """Return images (B, …) attacked from `change` on, no number further from its own than `bound`.

    Each of the `steps` goes `stride` along the sign of the loss's gradient (Madry et al. 2018, section 2.1).
    The weights get no gradient from it.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():  # inference mode knows no gradients,
        change, labels = change.clone(), labels.clone()  # and what it made may serve none
        for _ in range(steps):
            change = change.detach().requires_grad_()
            loss = F.cross_entropy(model(images + change), labels)
            (gradient,) = torch.autograd.grad(loss, change)
            change = (change + stride * gradient.sign()).clamp(-bound, bound)
        return (images + change).detach()
