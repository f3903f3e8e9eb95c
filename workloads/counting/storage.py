"""Bytes and counts of a model's numbers as they are stored: packed, quantised, sparse or plain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves


def nbytes(tensor: torch.Tensor) -> int:
    """Return the bytes that a tensor's numbers take here: its parts', or of ranks this one's part."""
    parts: Any = tensor
    if is_traceable_wrapper_subclass(parts):
        inner = (getattr(parts, name) for name in parts.__tensor_flatten__()[0])
        return sum(nbytes(part) for part in inner if isinstance(part, torch.Tensor))
    scales = 0
    if tensor.is_quantized and tensor.qscheme() == torch.per_tensor_affine:
        scales = 8 + 8  # a double and an integer
    elif tensor.is_quantized:
        scales = nbytes(tensor.q_per_channel_scales()) + nbytes(tensor.q_per_channel_zero_points())
    return tensor.numel() * tensor.element_size() + scales


def tree_bytes(tree: Any) -> int:
    """Return the bytes of all tensors in nested containers."""
    return sum(nbytes(leaf) for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))


def weights_bytes(model: nn.Module) -> int:
    """Return the bytes of parameters, buffers and packed weights; what is shared counts once."""
    return sum(map(nbytes, (*model.parameters(), *model.buffers(), *_packed(model))))


def parameter_count(model: nn.Module) -> int:
    """Return how many weights the model stores, packed ones too; what is shared counts once."""
    return sum(tensor.numel() for tensor in (*model.parameters(), *_packed(model)))


def _packed(model: nn.Module) -> Iterator[torch.Tensor]:
    """Yield weights that torch's own quantised layers keep in no parameter."""
    for module in model.modules():
        parts: Any = getattr(module, "_weight_bias", None)
        if parts is not None and not any(hasattr(child, "_weight_bias") for child in module.children()):
            yield from (part for part in tree_leaves(parts()) if isinstance(part, torch.Tensor))
