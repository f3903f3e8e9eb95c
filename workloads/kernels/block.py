"""A decoder's block over one new position of few sequences, in one call of C: see `block.c`."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import nn

from workloads.kernels.attention import fits
from workloads.kernels.linear import FEW, FewRowsLinear, callable_here, run
from workloads.kernels.packed import Int4Linear, Int8Linear

SIDE = 16
"""Sides of all layers are multiples of it."""


class _Layer(ctypes.Structure):
    n: int
    k: int
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("w", "scales", "zeros", "bias")),
        *((name, ctypes.c_long) for name in ("n", "k", "group")),
        ("kind", ctypes.c_int),
    )


class _Block(ctypes.Structure):
    heads: int
    qkv: _Layer
    out: _Layer
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("norm1", "shift1", "norm2", "shift2")),
        *((name, _Layer) for name in ("qkv", "out", "up", "down")),
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
        self._block: _Block | None = None

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
        rows, positions, _ = x.shape
        keys = getattr(cache, "keys", None)
        if type(keys) is not torch.Tensor or positions != 1 or not callable_here(x) or rows > FEW[x.dtype]:
            return None
        values, length = cache.values, cache.length
        if x.dtype != self._dtype or [t.data_ptr() for t in self._tensors] != self._places:
            self._look_up(block, x.dtype)
        together = type(length) is int
        longest = (length if together else cache.longest) + 1
        if self._block is None or not self._takes(x, keys, values, longest):
            return None
        step, sequence, head = keys.stride()[:3]
        counts = None if together else length + 1
        x, at = x.contiguous(), layer * step * x.element_size()
        y = torch.empty_like(x)
        run("decoder_block", ctypes.addressof(self._block), x.data_ptr(), y.data_ptr(), keys.data_ptr() + at,
            values.data_ptr() + at, None if counts is None else counts.data_ptr(), longest, rows, head,
            sequence, x.dtype == torch.bfloat16, torch.get_num_threads())  # fmt: skip
        return y

    def _takes(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, longest: int) -> bool:
        """Return whether C may write to the cache: it fits the block, lies as C reads it, and has room."""
        assert self._block is not None
        _, batch, heads, capacity, size = keys.shape
        fits_block = heads == self._block.heads and heads * size == self._block.out.k
        lies = keys.dtype == values.dtype == x.dtype and keys.stride()[3:] == (size, 1)
        lies = lies and values.stride() == keys.stride() and values.shape == keys.shape
        whole = x.shape[0] == batch and x.shape[2] == self._block.qkv.k and longest <= capacity
        return fits_block and lies and whole

    def _look_up(self, block: Any, dtype: torch.dtype) -> None:
        """Describe the block for C; leave None where C has no kernel of one of its parts."""
        self._dtype, self._block = dtype, None
        layers = [block.attention.qkv, block.attention.out, block.up, block.down]
        norms, heads = [block.norm1, block.norm2], block.attention.heads
        self._tensors = [t for part in (*layers, *norms) for t in (*part.parameters(), *part.buffers())]
        self._places = [t.data_ptr() for t in self._tensors]
        described = [made for layer in layers if (made := _layer(layer, dtype)) is not None]
        if len(described) < len(layers) or not all(_plain(norm, dtype) for norm in norms):
            return
        qkv, out, up, down = described
        size = out.k // heads
        joined = qkv.n == 3 * out.k and down.k == up.n and qkv.k == out.n == up.k == down.n
        if not joined or size * heads != out.k or not fits(size):
            return
        ends = [t.data_ptr() for norm in norms for t in (norm.weight, norm.bias)]
        self._block = _Block(*ends, *described, heads, *(norm.eps for norm in norms))


def _layer(layer: Any, dtype: torch.dtype) -> _Layer | None:
    """Describe a layer; None where C has no kernel for it."""
    kind = type(layer)
    if kind not in (FewRowsLinear, Int8Linear, Int4Linear):
        return None
    n, k, bias = layer.out_features, layer.in_features, layer.bias
    if n % SIDE or k % SIDE:
        return None
    shift = None if bias is None else bias.data_ptr()
    if kind is Int8Linear:
        return _Layer(layer.numbers.data_ptr(), layer.scale.data_ptr(), None, shift, n, k, k, 1)
    if kind is Int4Linear:
        places = (t.data_ptr() for t in (layer.numbers, layer.scales, layer.zeros))
        return _Layer(*places, shift, n, k, layer.group, 2)
    if any(t.dtype != dtype or not t.is_contiguous() for t in layer.parameters()):
        return None
    return _Layer(layer.weight.data_ptr(), None, None, shift, n, k, k, 0)


def _plain(norm: Any, dtype: torch.dtype) -> bool:
    if type(norm) is not nn.LayerNorm or norm.bias is None:
        return False
    return all(t.dtype == dtype and t.is_contiguous() for t in norm.parameters())
