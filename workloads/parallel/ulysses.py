"""Attention over positions that are spread over ranks: exchanged for heads and back."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from workloads.parallel.exchange import all_gather, all_to_all


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
    """Attend from this rank's positions to all ranks'; each argument is (B, heads, S / ranks, head size).

    Options are those of `scaled_dot_product_attention`; a mask is that of the whole sequence.
    """
    world = dist.get_world_size()
    # Of each rank r its heads of q, k and v: (ranks, B, heads / ranks of all three, S / ranks, head size)
    heads = torch.cat([torch.unflatten(x, 1, (world, -1)).movedim(1, 0) for x in (q, k, v)], 2)
    positions = all_to_all(heads).movedim(0, 2).flatten(2, 3)
    q, k, v = torch.split(positions, [x.shape[1] // world for x in (q, k, v)], 1)
    attended = F.scaled_dot_product_attention(q, k, v, **options)
    return all_to_all(torch.unflatten(attended, 2, (world, -1)).movedim(2, 0)).movedim(0, 1).flatten(1, 2)


def exchange_heads(model: nn.Module) -> None:
    """Let every attention of a model attend over all ranks' positions."""
    for module in model.modules():
        if hasattr(module, "attend"):
            module.attend = attend  # type: ignore[assignment]


def split_between(first: nn.Module, last: nn.Module) -> None:
    """Let a rank have its own positions only from the `first` block on, and all again behind the `last`."""

    def split(_block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return inputs[0].chunk(dist.get_world_size(), 1)[dist.get_rank()], *inputs[1:]

    first.register_forward_pre_hook(split)
    last.register_forward_hook(lambda _block, _inputs, x: all_gather(x, 1))


def answer_from_last(model: nn.Module) -> None:
    """Let all ranks have the outputs of the last one, which has the sequences' last position."""

    def answer(_model: nn.Module, _inputs: Any, outputs: torch.Tensor) -> torch.Tensor:
        dist.broadcast(outputs, src=dist.get_world_size() - 1)
        return outputs

    model.register_forward_hook(answer)
