"""What the data-parallel strategies share: a share of the batch on each rank, and a loss that is a module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from workloads.base import Batch, UnsupportedError
from workloads.training import Mark, Training, train_step

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


def shard_weights(
    model: nn.Module,
    blocks: Sequence[nn.Module],
    mesh: DeviceMesh,
    *,
    reshard: bool,
    bf16: bool,
    offload: bool = False,
) -> LossModule:
    """Shard the weights of each block, and of what is left, over the mesh; return the loss over them.

    With `offload` the weights lie in host memory between their block's passes.
    """
    from torch.distributed.fsdp import (
        CPUOffloadPolicy,
        MixedPrecisionPolicy,
        OffloadPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    # Autocast chooses what the operations compute in; the gathered weights only need be as wide.
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if bf16 else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    shard = partial(
        fully_shard,
        mesh=mesh,
        reshard_after_forward=reshard,
        mp_policy=policy,
        offload_policy=CPUOffloadPolicy(pin_memory=mesh.device_type == "cuda")
        if offload
        else OffloadPolicy(),
    )
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # channels-last weights cannot be sharded
    for block in dict.fromkeys(blocks):  # a block that comes several times has one set of weights
        shard(block)
        for method in getattr(block, "entered_by", ()):
            register_fsdp_forward_method(block, method)
    module = LossModule(model)
    shard(module)
    return module


def spread_optimizer(
    make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], model: nn.Module
) -> torch.optim.Optimizer:
    """Return the optimizer of spread weights, with a group for each way of spreading: a kernel updates one.

    Raises:
        UnsupportedError: SGD in one kernel was asked for.
    """
    groups: dict[Any, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault(getattr(parameter, "device_mesh", None), []).append(parameter)
    first, *others = groups.values()
    optimizer = make(first)
    for parameters in others:
        optimizer.add_param_group({"params": parameters})
    if isinstance(optimizer, torch.optim.SGD):
        for group in optimizer.param_groups:
            if group["fused"] and group["foreach"] is not None:
                raise UnsupportedError("torch has no SGD in one kernel over spread weights (optimize.update)")
            group["fused"] = False  # where it was torch's own choice
    return optimizer


def mean_over_ranks(losses: torch.Tensor) -> torch.Tensor:
    """Return the mean of every rank's losses, which is the whole batch's where the shares are equal."""
    total = losses.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
