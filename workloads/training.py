"""The steps of training: what one iteration, its gradients and its update launch on the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from workloads.base import Batch, Workload

Mark = Callable[[str], None]


LOSSES_KEPT = 4096


class LossHistory:
    """The first training loss and the last LOSSES_KEPT, left on the device until they are read."""

    def __init__(self) -> None:
        self._first: torch.Tensor | None = None
        self._last: deque[torch.Tensor] = deque(maxlen=LOSSES_KEPT)

    def append(self, loss: torch.Tensor) -> None:
        """Keep a detached scalar."""
        if self._first is None:
            self._first = loss
        else:
            self._last.append(loss)

    def stacked(self) -> torch.Tensor:
        """Return the losses in fp32, oldest first, on their device; an empty tensor before the first step."""
        return torch.empty(0) if self._first is None else torch.stack([self._first, *self._last]).float()


def make_optimizer(
    workload: Workload, name: str | None, lr: float | None, *, fused: bool, foreach: bool | None = None
) -> Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]:
    """Return what builds SGD with momentum or AdamW over what trains; None is the workload's own default.

    `fused` and `foreach` say how the tensors are walked, in torch's words.

    Raises:
        ValueError: neither name nor default, or an unknown name.
    """
    name = workload.spec.train.get("optimizer") if name is None else name  # type: ignore[assignment]
    lr = workload.spec.train.get("lr") if lr is None else lr  # type: ignore[assignment]
    if name is None or lr is None:
        raise ValueError(f"{workload.spec.name} has no training defaults: give an optimizer and lr")
    rate = float(lr)
    if name == "sgd":
        kind: Callable[..., torch.optim.Optimizer] = partial(
            torch.optim.SGD, lr=rate, momentum=0.9, fused=fused, foreach=foreach
        )
    elif name == "adamw":
        kind = partial(torch.optim.AdamW, lr=rate, fused=fused, foreach=foreach)
    else:
        raise ValueError(f"optimizer {name!r} is not one of sgd, adamw")
    return lambda parameters: kind([p for p in parameters if p.requires_grad])


def update_of(optimizer: torch.optim.Optimizer) -> str | None:
    """Return how torch walks an optimizer's tensors, in the words of `Optimize.update`; None for other kinds.

    Without a choice torch takes lists on CUDA, and a loop on the CPU.
    """
    if not isinstance(optimizer, (torch.optim.SGD, torch.optim.AdamW)):
        return None
    group = optimizer.param_groups[0]
    if group["fused"]:
        return "fused"
    lists = group["params"][0].device.type == "cuda" if group["foreach"] is None else group["foreach"]
    return "foreach" if lists else "loop"


@dataclass
class Training:
    """Everything that a training step works with on this rank."""

    workload: Workload
    model: nn.Module
    ring: Sequence[Sequence[Batch]]
    """Batches that steps take in turn, each as its micro-batches."""
    optimizer: torch.optim.Optimizer
    loss: Callable[[nn.Module, Batch], torch.Tensor]
    cast: Callable[[], AbstractContextManager[Any]]
    """The context of a forward pass."""
    scaler: torch.amp.GradScaler | None = None
    """Keeps fp16 gradients from vanishing."""
    losses: LossHistory = field(default_factory=LossHistory)
    last: list[torch.Tensor] = field(default_factory=list)
    """The last step's loss."""
    updated: Callable[[], None] = lambda: None
    """Called after every update of the weights, while their gradients are there."""

    def done(self, loss: torch.Tensor) -> None:
        """End a step, whose weights are updated, and keep its detached loss."""
        self.updated()
        self.losses.append(loss)
        self.last[:] = [loss]


def train_step(training: Training) -> Callable[[int, Mark], None]:
    """Return the step that adds up a ring entry's micro-batches' gradients and updates the weights once."""
    model, ring, optimizer, scaler = training.model, training.ring, training.optimizer, training.scaler
    share = 1.0 / len(ring[0])

    def step(index: int, _mark: Mark) -> None:
        optimizer.zero_grad(set_to_none=True)
        parts = []
        for batch in ring[index % len(ring)]:
            with training.cast():
                loss = training.loss(model, batch)
            if share != 1.0:
                loss = loss * share
            (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
            parts.append(loss.detach())
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        training.done(parts[0] if len(parts) == 1 else torch.stack(parts).sum())

    return step
