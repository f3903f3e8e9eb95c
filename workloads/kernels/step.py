"""A decoder's whole step over one new position of few sequences, in one call of C: see `step.c`."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import torch

from workloads.kernels.block import Described, Layer, described, layers_of, longest_of, plain_norm, takes
from workloads.kernels.linear import FEW, FewRowsTable, run
from workloads.kernels.packed import Int8Table


class _Decoder(ctypes.Structure):
    words: Layer
    vocab: int
    _fields_ = (
        ("blocks", ctypes.c_void_p),
        *((name, Layer) for name in ("words", "positions")),
        *((name, ctypes.c_void_p) for name in ("norm", "shift")),
        *((name, ctypes.c_long) for name in ("layers", "vocab")),
        ("eps", ctypes.c_float),
    )


class DecoderStep:
    """Runs a step of a model whose parts are named as in `workloads.models.gpt`, where C can.

    It keeps where the weights lie; they are looked up again when the largest tensor of a layer or of a table
    has moved, as all of one do together: to ask every tensor takes longer than a layer. A model goes on block
    by block where C cannot run a part of it, and while one of its parts has hooks. A copy knows nothing yet.
    """

    def __init__(self) -> None:
        self._watched: list[torch.Tensor] = []
        self._held: list[torch.Tensor] = []
        self._places: list[int] = []
        self._hooks: list[Mapping[int, Any]] = []
        self._blocks: list[Described] = []
        self._array: ctypes.Array[ctypes.c_void_p] | None = None
        self._decoder: _Decoder | None = None
        self._dtype: torch.dtype | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return DecoderStep, ()

    def __call__(self, model: Any, tokens: torch.Tensor, cache: Any) -> torch.Tensor | None:
        """Return the logits (B, V) behind tokens (B, 1), and write to the cache; None where C cannot.

        Args:
            model: Whose weights these are.
            tokens: The new position of each sequence, int64.
            cache: As `DecoderBlock` takes it.

        Raises:
            IndexError: a token or a position is none of the tables'.
        """
        keys = getattr(cache, "keys", None)
        if type(keys) is not torch.Tensor or not _readable(tokens):
            return None
        if self._dtype is None or list(map(torch.Tensor.data_ptr, self._watched)) != self._places:
            self._look_up(model)
        decoder, rows, dtype, longest = self._decoder, tokens.shape[0], keys.dtype, longest_of(cache)
        if decoder is None or dtype != self._dtype or rows > FEW[dtype] or any(self._hooks):
            return None
        if not takes(self._blocks[0], dtype, (rows, decoder.words.k), cache, longest):
            return None
        layer, sequence, head = keys.stride()[:3]
        counts = None if type(cache.length) is int else cache.length + 1
        tokens = tokens.contiguous()
        logits = torch.empty((rows, decoder.words.n), dtype=dtype)
        run("decoder_step", ctypes.addressof(decoder), tokens.data_ptr(), logits.data_ptr(), keys.data_ptr(),
            cache.values.data_ptr(), layer, None if counts is None else counts.data_ptr(), longest, rows,
            head, sequence, dtype == torch.bfloat16, torch.get_num_threads())  # fmt: skip
        return logits[:, : decoder.vocab]

    def _look_up(self, model: Any) -> None:
        """Describe the model for C; leave None where C has no kernel of one of its parts."""
        dtype = self._dtype = model.norm.weight.dtype
        self._decoder, self._watched, self._places = None, [], []
        words, positions = _table(model.token, dtype), _table(model.position, dtype)
        blocks = [made for block in model.blocks if (made := described(block, dtype)) is not None]
        if words is None or positions is None or not blocks or len(blocks) < len(model.blocks):
            return
        alike = len({(b.heads, b.out.k, b.qkv.k) for b in blocks}) == 1
        fits = words.k == positions.k == blocks[0].qkv.k and plain_norm(model.norm, dtype)
        if not (alike and fits) or model.first_position:
            return
        ends = (model.token, model.position, model.norm)
        large = [model.token, model.position, *(one for block in model.blocks for one in layers_of(block))]
        self._watched = [max(_tensors(part), key=lambda t: t.nbytes) for part in large]
        self._places = [t.data_ptr() for t in self._watched]
        # An alias holds the memory that C reads, whatever becomes of the tensor.
        self._held = [t.detach() for part in (*ends, *model.blocks) for t in _tensors(part)]
        parts = (*ends, *model.blocks)
        self._hooks = [part._forward_hooks for part in parts]  # noqa: SLF001 - torch shows them nowhere else
        self._hooks += [part._forward_pre_hooks for part in parts]  # noqa: SLF001
        self._blocks, self._array = blocks, (ctypes.c_void_p * len(blocks))(*map(ctypes.addressof, blocks))
        self._decoder = _Decoder(
            ctypes.addressof(self._array), words, positions, model.norm.weight.data_ptr(),
            model.norm.bias.data_ptr(), len(blocks), model.token.num_embeddings, model.norm.eps,
        )  # fmt: skip


def _tensors(part: Any) -> list[torch.Tensor]:
    return [*part.parameters(), *part.buffers()]


def _readable(tokens: torch.Tensor) -> bool:
    plain = type(tokens) is torch.Tensor and tokens.device.type == "cpu" and tokens.dtype == torch.int64
    return (
        plain and tokens.shape[1] == 1 and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    )


def _table(table: Any, dtype: torch.dtype) -> Layer | None:
    """Describe an embedding; None where C does not know it."""
    if type(table) is Int8Table and table.dtype == dtype:
        words = table.words
        n, k = words.scale.shape[0], words.in_features
        return Layer(words.numbers.data_ptr(), words.scale.data_ptr(), None, None, n, k, k, 1)
    if type(table) is not FewRowsTable or table.weight.dtype != dtype or not table.weight.is_contiguous():
        return None
    n, k = table.weight.shape
    return Layer(table.weight.data_ptr(), None, None, None, n, k, k, 0)
