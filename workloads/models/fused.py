"""Several models as one: averaged weights, members that vote, copies whose gradients flow together."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map


@torch.no_grad()
def average(models: Sequence[nn.Module]) -> None:
    """Give the first model the mean of all models' weights and statistics."""
    for mine, *theirs in zip(*(_numbers(model) for model in models), strict=True):
        mine.copy_(torch.stack([mine, *theirs]).mean(0))


def _numbers(model: nn.Module) -> list[torch.Tensor]:
    return [tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]


class Members(nn.Module):
    """Models that answer together.

    Args:
        models: Each gives logits (..., classes), or a tree of them.
        vote: Give each class's share of the votes; else the mean of the logits.
    """

    def __init__(self, models: Sequence[nn.Module], *, vote: bool) -> None:
        super().__init__()
        self.models, self.vote = nn.ModuleList(models), vote

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Ask all models; return an answer of one model's structure."""
        return tree_map(self._combined, *(model(*inputs, **named) for model in self.models))

    def _combined(self, *answers: torch.Tensor) -> torch.Tensor:
        logits = torch.stack(answers)
        if self.vote:
            votes = torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
            return votes.mean(0)
        return logits.mean(0)


class Copies:
    """Copies of a model whose gradients are added to its own in the same backward pass."""

    def __init__(self, model: nn.Module, count: int) -> None:
        self._own: list[torch.Tensor] = list(model.parameters())
        self.models = [deepcopy(model) for _ in range(count)]
        for copy in self.models:
            for parameter, own in zip(copy.parameters(), self._own, strict=True):
                if parameter.requires_grad:
                    parameter.register_post_accumulate_grad_hook(_Into(own))  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def follow(self) -> None:
        """Take the model's weights."""
        for copy in self.models:
            torch._foreach_copy_([*copy.parameters()], self._own)


class _Into:
    """Move a gradient into another parameter's."""

    def __init__(self, target: torch.Tensor) -> None:
        self._target = target

    def __call__(self, parameter: torch.Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        assert gradient is not None
        self._target.grad = gradient if self._target.grad is None else self._target.grad + gradient
