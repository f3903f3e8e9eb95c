"""Split a model's matrices over ranks, by torch's own tensor parallelism."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from workloads.models.tensor_split import splits


def split_model(model: nn.Module, mesh: DeviceMesh, blocks: Sequence[nn.Module]) -> None:
    """Split a model in place; every rank has the same whole one.

    Args:
        model: Its modules say how they split.
        mesh: One dimension of ranks.
        blocks: Between whose split layers the sequence is split; none keeps it whole.
    """
    between = Shard(1) if blocks else Replicate()
    for module, split in splits(model):
        plan: dict[str, ParallelStyle] = {}
        for name, parts in split.columns.items():
            _deal(module.get_submodule(name), parts, mesh.size())
            plan[name] = ColwiseParallel(input_layouts=between)
        plan |= dict.fromkeys(split.rows, RowwiseParallel(output_layouts=between))
        plan |= dict.fromkeys(split.gathered, ColwiseParallel(output_layouts=Replicate()))
        if blocks:
            plan |= dict.fromkeys(split.norms, SequenceParallel(use_local_output=True))
        # No source rank: every rank has the whole weights already, and takes its own part.
        parallelize_module(module, mesh, plan, src_data_rank=None)
        for name in split.counts:
            setattr(module, name, getattr(module, name) // mesh.size())
    if blocks:
        _split_sequence(blocks[0], blocks[-1], mesh)


def _deal(linear: nn.Module, parts: Sequence[int], ranks: int) -> None:
    """Put the output rows of a linear layer into the order of ranks: of every part the rank's share."""
    for parameter in linear.parameters():
        shares = [part.chunk(ranks) for part in torch.split(parameter.data, list(parts))]
        parameter.data = torch.cat([share[rank] for rank in range(ranks) for share in shares])


def _split_sequence(first: nn.Module, last: nn.Module, mesh: DeviceMesh) -> None:
    """Let ranks have their own positions only from the first block on, and all again behind the last."""

    def moved(x: torch.Tensor, before: Placement, after: Placement) -> torch.Tensor:
        return DTensor.from_local(x, mesh, [before], run_check=False).redistribute(None, [after]).to_local()

    first.register_forward_pre_hook(
        lambda _block, given: (moved(given[0], Replicate(), Shard(1)), *given[1:])
    )
    last.register_forward_hook(lambda _block, _given, x: moved(x, Shard(1), Replicate()))
