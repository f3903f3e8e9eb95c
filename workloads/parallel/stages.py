"""The stages of a pipeline as modules, and torch's schedules over them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any, cast

import torch
from torch import nn
from torch.distributed import ProcessGroup
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
)
from torch.distributed.pipelining.schedules import _PipelineSchedule

from workloads.base import Workload
from workloads.models.pipeline_stages import Staged


class Part(nn.Module):
    """Stage `index` of `count`: a run of blocks with their weights, the model's entry or exit at an end.

    The last stage's output is the loss of its micro-batch. Every stage is given the batch's tensors.
    """

    def __init__(self, workload: Workload, model: nn.Module, index: int, count: int) -> None:
        super().__init__()
        blocks = workload.blocks(model)
        self.first, self.last = index == 0, index == count - 1
        self.index, self.count = index, count
        self.blocks = nn.ModuleList(blocks[index * len(blocks) // count : (index + 1) * len(blocks) // count])
        self._workload, self._staged = workload, (cast("Staged", model),)  # a tuple: not its weights
        staged = self._staged[0]
        for name in (staged.entry if self.first else ()) + (staged.exit if self.last else ()):
            setattr(self, name.replace(".", "_"), attrgetter(name)(model))
        self.cast: Any = nullcontext

    def forward(self, x: torch.Tensor | None = None, **batch: torch.Tensor) -> torch.Tensor:
        """Return what enters the next stage, or the loss."""
        (staged,) = self._staged
        inputs = self._workload.inputs(batch)
        with self.cast():
            entered = staged.embed(*inputs) if x is None else x
            left = staged.through(self.blocks, entered, *inputs)
            if not self.last:
                return left
            model = cast("nn.Module", lambda *_inputs: staged.leave(left, *inputs))
            return self._workload.loss(model, batch)


def release(model: nn.Module, kept: nn.Module) -> None:
    """Give back the memory of all weights of a model that are not `kept`'s."""
    own = set(kept.parameters())
    for weight in model.parameters():
        if weight not in own:
            weight.data = weight.data.new_empty(0)


def shared_by_ends(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights that both entry and exit use."""
    staged = cast("Staged", model)
    return [
        weight
        for name in staged.entry
        if name in staged.exit
        for weight in cast("nn.Module", attrgetter(name)(model)).parameters()
    ]


def make_schedule(
    name: str, parts: Sequence[Part], micro_batches: int, group: ProcessGroup | None
) -> _PipelineSchedule:
    """Return torch's schedule `gpipe`, `1f1b`, `interleaved` or `zero_bubble` over this rank's stages.

    The group is that of the pipeline's ranks; None is all.
    """
    device = next(parts[0].parameters()).device
    stages: list[Any] = [PipelineStage(part, part.index, part.count, device, group=group) for part in parts]
    if name == "interleaved":
        return ScheduleInterleaved1F1B(stages, micro_batches, _own_loss)
    if name == "zero_bubble":
        return ScheduleInterleavedZeroBubble(stages, micro_batches, _own_loss)
    return (ScheduleGPipe if name == "gpipe" else Schedule1F1B)(stages[0], micro_batches, _own_loss)


def _own_loss(output: torch.Tensor, _target: torch.Tensor) -> torch.Tensor:
    return output
