"""A decoder's block over one new position of few sequences, in one call of C: see `block.c`."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import nn

from workloads.kernels.attention import fits
from workloads.kernels.linear import FEW, FewRowsLinear, callable_here, run
from workloads.kernels.packed import Int4Linear, Int8Linear

LAYERS = 4
SIDE = 16
"""Sides of all layers are multiples of it."""


class Layer(ctypes.Structure):
    """`struct layer` of `decoder.h`."""

    n: int
    k: int
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("w", "scales", "zeros", "bias")),
        *((name, ctypes.c_long) for name in ("n", "k", "group")),
        ("kind", ctypes.c_int),
    )


class Described(ctypes.Structure):
    """`struct block` of `decoder.h`."""

    heads: int
    qkv: Layer
    out: Layer
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("norm1", "shift1", "norm2", "shift2")),
        *((name, Layer) for name in ("qkv", "out", "up", "down")),
        ("heads", ctypes.c_long),
        *((name, ctypes.c_float) for name in ("eps1", "eps2")),
    )


class DecoderBlock:
    """Runs a block whose parts are named as in `workloads.models.gpt`, where C can.

    It keeps where the block's weights lie, for a step is too short to ask every layer; they are looked up
    again when one has moved. Hooks of the block's parts are not called. A copy knows nothing yet.
    """

    def __init__(self) -> None:
        self._dtype: torch.dtype | None = None
        self._tensors: list[torch.Tensor] = []
        self._places: list[int] = []
        self._block: Described | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return DecoderBlock, ()

    def __call__(self, block: Any, x: torch.Tensor, cache: Any, layer: int) -> torch.Tensor | None:
        """Return the block's output (B, 1, d) of x (B, 1, d), and write to the cache; None where C cannot.

        Args:
            block: Whose weights these are.
            x: The new position of each sequence.
            cache: C can where it has `keys` and `values`, (layers, batch, heads, capacity, head size), and
                the `length` of all sequences, or of each, (B,), of which none is above `longest`.
            layer: The block's number in the cache.
        """
        rows, positions, width = x.shape
        keys = getattr(cache, "keys", None)
        if type(keys) is not torch.Tensor or positions != 1 or not callable_here(x) or rows > FEW[x.dtype]:
            return None
        if x.dtype != self._dtype or [t.data_ptr() for t in self._tensors] != self._places:
            self._dtype, self._tensors = x.dtype, _tensors_of(block)
            self._places = [t.data_ptr() for t in self._tensors]
            self._block = described(block, x.dtype)
        longest = longest_of(cache)
        if self._block is None or not takes(self._block, x.dtype, (rows, width), cache, longest):
            return None
        step, sequence, head = keys.stride()[:3]
        counts = None if type(cache.length) is int else cache.length + 1
        x, at = x.contiguous(), layer * step * x.element_size()
        y = torch.empty_like(x)
        run("decoder_block", ctypes.addressof(self._block), x.data_ptr(), y.data_ptr(), keys.data_ptr() + at,
            cache.values.data_ptr() + at, None if counts is None else counts.data_ptr(), longest, rows, head,
            sequence, x.dtype == torch.bfloat16, torch.get_num_threads())  # fmt: skip
        return y


def longest_of(cache: Any) -> int:
    """Return the positions of the longest sequence, with the new one."""
    return int((cache.length if type(cache.length) is int else cache.longest) + 1)


def takes(block: Described, dtype: torch.dtype, x: tuple[int, int], cache: Any, longest: int) -> bool:
    """Return whether C may write to the cache: it fits the block and x, lies as C reads it, and has room."""
    keys, values = cache.keys, cache.values
    _, batch, heads, capacity, size = keys.shape
    fits_block = heads == block.heads and heads * size == block.out.k
    lies = keys.dtype == values.dtype == dtype and keys.stride()[3:] == (size, 1)
    lies = lies and values.stride() == keys.stride() and values.shape == keys.shape
    return fits_block and lies and x == (batch, block.qkv.k) and longest <= capacity


def _tensors_of(block: Any) -> list[torch.Tensor]:
    parts = (*layers_of(block), block.norm1, block.norm2)
    return [t for part in parts for t in (*part.parameters(), *part.buffers())]


def described(block: Any, dtype: torch.dtype) -> Described | None:
    """Describe a block for C; None where C has no kernel of one of its parts."""
    norms, heads = [block.norm1, block.norm2], block.attention.heads
    layers = [made for layer in layers_of(block) if (made := _layer(layer, dtype)) is not None]
    if len(layers) < LAYERS or not all(plain_norm(norm, dtype) for norm in norms):
        return None
    qkv, out, up, down = layers
    size = out.k // heads
    joined = qkv.n == 3 * out.k and down.k == up.n and qkv.k == out.n == up.k == down.n
    if not joined or size * heads != out.k or not fits(size):
        return None
    ends = [t.data_ptr() for norm in norms for t in (norm.weight, norm.bias)]
    return Described(*ends, *layers, heads, *(norm.eps for norm in norms))


def layers_of(block: Any) -> list[nn.Module]:
    """Return a block's linear layers, in the order of `struct block`."""
    return [block.attention.qkv, block.attention.out, block.up, block.down]


def _layer(layer: Any, dtype: torch.dtype) -> Layer | None:
    """Describe a layer; None where C has no kernel for it."""
    kind = type(layer)
    if kind not in (FewRowsLinear, Int8Linear, Int4Linear):
        return None
    n, k, bias = layer.out_features, layer.in_features, layer.bias
    if n % SIDE or k % SIDE:
        return None
    shift = None if bias is None else bias.data_ptr()
    if kind is Int8Linear:
        return Layer(layer.numbers.data_ptr(), layer.scale.data_ptr(), None, shift, n, k, k, 1)
    if kind is Int4Linear:
        places = (t.data_ptr() for t in (layer.numbers, layer.scales, layer.zeros))
        return Layer(*places, shift, n, k, layer.group, 2)
    if any(t.dtype != dtype or not t.is_contiguous() for t in layer.parameters()):
        return None
    return Layer(layer.weight.data_ptr(), None, None, shift, n, k, k, 0)


def plain_norm(norm: Any, dtype: torch.dtype) -> bool:
    """Return whether C can compute a norm."""
    if type(norm) is not nn.LayerNorm or norm.bias is None:
        return False
    return all(t.dtype == dtype and t.is_contiguous() for t in norm.parameters())
