"""Which layers a compressor works on, and how it puts others in their place."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

from workloads.base import UnsupportedError
from workloads.transform import Cell, Setting

if TYPE_CHECKING:
    from torch import nn

_Layer = TypeVar("_Layer", bound="nn.Module")
LAYERS = Setting("all", "`all`, `attention`, `mlp`, or a pattern of dotted names such as `blocks.0.*`")
ATTENTION = frozenset(
    {"attention", "attn", "self_attn", "encoder_attn", "SelfAttention", "EncDecAttention", "source"}
    | {"qkv", "out", "q", "k", "v", "kv"}
)
MLP = frozenset(
    {"up", "down", "gate_up", "fc1", "fc2", "wi", "wo", "hidden", "dense", "over"}
    | {"gate_proj", "up_proj", "down_proj", "intermediate_dense", "output_dense"}
)
"""Names of the parts that attend and of those between, in the models of this project and of transformers."""


def refusal(cell: Cell) -> str | None:
    """Return why the layers that were asked for cannot be there, None when they can."""
    if cell.compress_settings.get("layers") == "attention" and "attention" not in cell.workload.traits:
        return f"layers=attention needs attention, which {cell.workload.name} has not"
    return None


def weighted_refusal(cell: Cell) -> str | None:
    """Return why there are no linear layers or convolutions, None when there are."""
    if cell.workload.traits & {"linear", "convolution"}:
        return None
    return f"{cell.compress} needs linear layers or convolutions, which {cell.workload.name} lacks"


def chosen(model: nn.Module, layers: str, *kinds: type[_Layer]) -> dict[str, _Layer]:
    """Return the layers of these kinds that `layers` names, by their dotted names.

    An output layer whose weight is that of an embedding is left out: it stays one with it.

    Raises:
        UnsupportedError: there is none.
    """
    from torch import nn

    tied = {m.weight for m in model.modules() if isinstance(m, nn.Embedding)}
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, kinds) and _named(name, layers) and getattr(module, "weight", None) not in tied
    }
    if not found:
        names = ", ".join(kind.__name__ for kind in kinds)
        raise UnsupportedError(f"layers={layers} names no layer of kind {names} in this model")
    return found


def weighted(model: nn.Module, layers: str) -> dict[str, nn.Linear | nn.Conv2d]:
    """Return the linear layers and convolutions that `layers` names.

    Raises:
        UnsupportedError: there is none.
    """
    from torch import nn

    found = chosen(model, layers, nn.Linear, nn.Conv2d)
    return {name: layer for name, layer in found.items() if isinstance(layer, nn.Linear | nn.Conv2d)}


def _named(name: str, layers: str) -> bool:
    parts = set(name.split("."))
    if layers == "all":
        return True
    if layers == "attention":
        return bool(parts & ATTENTION)
    if layers == "mlp":
        return bool(parts & MLP) and not parts & ATTENTION
    return fnmatchcase(name, layers)


def put(model: nn.Module, replaced: Iterable[tuple[str, nn.Module]]) -> None:
    """Put modules in the places of these dotted names."""
    for name, module in replaced:
        model.set_submodule(name, module)
