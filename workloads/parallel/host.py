"""Optimizer state and weights in host memory, pinned where the device is not the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from workloads.base import Workload
from workloads.parallel.data import LossModule, shard_weights
from workloads.parallel.flat import flatten


class HostOptimizer(torch.optim.Optimizer):
    """Updates a copy of the weights on the host, where its state lies, and copies the weights back.

    All weights are one tensor to it: right for optimizers that treat every number alike.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
    ) -> None:
        held = list(weights)
        super().__init__(held, {})
        self._flat, self._gradients = flatten(held)
        self._host = nn.Parameter(on_host(self._flat))
        self._host.grad = on_host(self._gradients)
        self._inner = make([self._host])
        self.state = self._inner.state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Zero the gradients where they are: they stay one tensor."""
        self._gradients.zero_()

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Fetch the gradients, wait for them, update, and send the weights."""
        self._host.grad.copy_(self._gradients, non_blocking=True)  # type: ignore[union-attr]
        if self._flat.is_cuda:
            torch.cuda.current_stream().synchronize()
        self._inner.step()
        self._flat.copy_(self._host, non_blocking=True)


def on_host(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy in host memory."""
    copy = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
    return copy.copy_(tensor)


def offload_weights(workload: Workload, model: nn.Module, *, bf16: bool) -> LossModule:
    """Move a model's weights to the host; return the loss that copies each block's to the device and back."""
    device = next(model.parameters()).device
    mesh = init_device_mesh(device.type, (1,))
    model.cpu()
    module = shard_weights(model, workload.blocks(model), mesh, reshard=True, bf16=bf16, offload=True)
    for owner in model.modules():
        for name, buffer in owner.named_buffers(recurse=False):
            setattr(owner, name, buffer.to(device))
    return module
