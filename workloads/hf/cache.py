"""Keys and values for the models of transformers, in memory that is allocated once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from transformers import cache_utils, masking_utils


def cache_word(function: Callable[..., Any]) -> str:
    """Return what a function of the library calls a cache: `cache` since 5.24, `past_key_values` before."""
    return "cache" if "cache" in inspect.signature(function).parameters else "past_key_values"


WORD = cache_word(masking_utils.create_causal_mask)
"""What every model of the installed version calls it."""


class Slots(cache_utils.DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values in `capacity` places; attention reads those that are filled.

    The library's growing cache copies everything at each token; its fixed one attends to empty places too.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the places for keys and values like these, (B, heads, S, size)."""
        batch, heads, _, size = key_states.shape
        self.keys = key_states.new_zeros((batch, heads, self.capacity, size))
        self.values = value_states.new_zeros((batch, heads, self.capacity, size))
        self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write behind what is there; return all that is filled."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        start, self.length = self.length, self.length + key_states.shape[2]
        self.keys[:, :, start : self.length] = key_states
        self.values[:, :, start : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_seq_length(self) -> int:
        """Return how many places are filled."""
        return self.length


class Cache(NamedTuple):
    """The library's cache, and its tensors in plain sight."""

    held: cache_utils.Cache
    slots: list[Slots]
    tensors: list[torch.Tensor]

    @property
    def given(self) -> dict[str, cache_utils.Cache]:
        """It as a model's argument."""
        return {WORD: self.held}

    def rewind(self, length: int) -> Cache:
        """Forget what is behind `length` places."""
        for slot in self.slots:
            slot.length = length
        return self


def decoder_cache(layers: int, capacity: int) -> Cache:
    """Return an empty cache of a decoder that reads no other sequence."""
    slots = [Slots(capacity) for _ in range(layers)]
    return Cache(cache_utils.Cache(layers=[*slots]), slots, [])


def seq2seq_cache(layers: int, capacity: int) -> Cache:
    """Return an empty cache of a decoder and of the source that it reads."""
    own = decoder_cache(layers, capacity)
    return own._replace(held=cache_utils.EncoderDecoderCache(own.held, cache_utils.DynamicCache()))


def filled(cache: Cache) -> Cache:
    """Return a cache that a model has written to, with its tensors."""
    layers: list[Any] = [*cache.slots]
    if isinstance(cache.held, cache_utils.EncoderDecoderCache):
        layers += cache.held.cross_attention_cache.layers
    return cache._replace(tensors=[tensor for layer in layers for tensor in (layer.keys, layer.values)])
