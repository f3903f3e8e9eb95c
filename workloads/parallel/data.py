"""What the data-parallel strategies share: a share of the batch on each rank, and a loss that is a module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from workloads.base import Batch
from workloads.steps import Mark, Training, train_step

Loss = Callable[[nn.Module, Batch], torch.Tensor]


class LossModule(nn.Module):
    """A model whose forward pass is the loss, so that a wrapper sees the whole pass, whatever it calls."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss: Loss, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch."""
        return loss(self.model, batch)


def wrapped_step(training: Training, module: Callable[..., Any]) -> Callable[[int, Mark], None]:
    """Return the training step whose loss passes through `module`, a wrapped LossModule."""
    return train_step(replace(training, loss=lambda _model, batch: module(training.loss, batch)))


def mean_over_ranks(losses: torch.Tensor) -> torch.Tensor:
    """Return the mean of every rank's losses, which is the whole batch's where the shares are equal."""
    total = losses.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
