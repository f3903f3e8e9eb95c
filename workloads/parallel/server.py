"""A parameter server over gloo: who sends a gradient gets the weights that come of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from workloads.parallel.flat import flatten


class Server:
    """Applies gradients one by one, and counts how old the weights were that each was computed from."""

    def __init__(
        self, weights: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer, group: dist.ProcessGroup
    ) -> None:
        self._flat, self._gradients = flatten(weights)
        self._optimizer, self._group = optimizer, group
        self._pulled: dict[int, int] = {}
        """The update that a worker's weights came of; all start from the same, before the first."""
        self.updates = self._stale = self._stalest = 0

    def serve(self) -> None:
        """Wait for any worker's gradient, update the weights, and send them to that worker."""
        worker = dist.recv(self._gradients, group=self._group)
        stale = self.updates - self._pulled.get(worker, 0)
        self._optimizer.step()
        self.updates += 1
        self._stale, self._stalest = self._stale + stale, max(self._stalest, stale)
        self._pulled[worker] = self.updates
        dist.send(self._flat, worker, group=self._group)

    def evidence(self) -> dict[str, Any]:
        """Return the updates and their staleness, in updates."""
        mean = self._stale / self.updates if self.updates else None
        return {"updates": self.updates, "staleness_mean": mean, "staleness_max": self._stalest}


class PushPull(torch.optim.Optimizer):
    """A worker's side: a step sends the gradient and receives the weights."""

    def __init__(self, weights: Iterable[nn.Parameter], group: dist.ProcessGroup) -> None:
        held = list(weights)
        super().__init__(held, {})
        self._flat, self._gradients = flatten(held)
        self._group = group
        on_host = self._flat.device.type == "cpu"
        self._host = self._flat if on_host else torch.empty_like(self._flat, device="cpu", pin_memory=True)
        self._sent = self._gradients if on_host else torch.empty_like(self._host, pin_memory=True)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Zero the gradients where they are: they stay one tensor."""
        self._gradients.zero_()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Push and pull; a device's tensors go through host memory."""
        if self._sent is not self._gradients:
            self._sent.copy_(self._gradients)
        dist.send(self._sent, 0, group=self._group)
        dist.recv(self._host, 0, group=self._group)
        if self._host is not self._flat:
            self._flat.copy_(self._host)
