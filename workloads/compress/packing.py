"""Quantised layers for our own kernels on the CPU, see `workloads.kernels`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workloads.compress import layers

if TYPE_CHECKING:
    from torch import nn

MULTIPLE = 16
"""Inputs of a layer come in whole sixteens."""


def pack(
    model: nn.Module, found: Mapping[str, nn.Linear], *, table: bool, int4_group: int | None = None
) -> str | None:
    """Store the layers for our own kernels; return these kernels' name, None where they cannot run.

    Args:
        model: Changed in place.
        found: Its layers, by name.
        table: Store an embedding that is the output layer too in int8: it is as much to read as any layer.
        int4_group: Weights of a row that share a scale in int4; None stores int8.
    """
    import torch
    from torch import nn

    from workloads.kernels import library
    from workloads.kernels.packed import Int4Linear, Int8Linear, Int8Table

    weight = next(iter(found.values())).weight
    runs = weight.device.type == "cpu" and weight.dtype in {torch.float32, torch.bfloat16}
    if not runs or any(layer.in_features % MULTIPLE for layer in found.values()) or not library.packs():
        return None
    for name, layer in found.items():
        made = (
            Int8Linear(layer.weight, layer.bias)
            if int4_group is None
            else Int4Linear(layer.weight, layer.bias, int4_group)
        )
        layers.put(model, [(name, made)])
    tied = getattr(model, "tied", None)
    words = None if tied is None else model.get_submodule(str(tied))
    if table and type(words) is nn.Embedding and words.embedding_dim % MULTIPLE == 0:
        layers.put(model, [(str(tied), Int8Table(words))])
    return "joulemark C, AVX-512 VNNI"
