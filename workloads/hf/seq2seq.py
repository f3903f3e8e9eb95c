"""What the encoder-decoder models of transformers share: training, and generation from one reading."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from workloads.base import Batch, GenerativeWorkload, Units
from workloads.counting import flops
from workloads.hf.base import HuggingFace, nbytes

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.hf.cache import Cache


class Seq2Seq(HuggingFace, GenerativeWorkload):
    """Reads a source once and writes a sequence; every block's attention is `attention_width` wide.

    Sizes: `hidden`, `inner`, `layers` of the encoder and as many of the decoder, `vocab`, `new_tokens`.
    """

    @property
    @abc.abstractmethod
    def attention_width(self) -> int:
        """Width of queries, keys and values: heads times head size."""

    @property
    @abc.abstractmethod
    def source_length(self) -> int:
        """Positions of the encoder."""

    @property
    @abc.abstractmethod
    def prompt_length(self) -> int:
        """Tokens that the decoder is given to begin with."""

    @abc.abstractmethod
    def source(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the encoder's input, under the name that the model gives it."""

    @abc.abstractmethod
    def beginning(self, batch: Batch) -> torch.Tensor:
        """Return the tokens that the decoder begins with, (B, prompt)."""

    @abc.abstractmethod
    def encoder_weights(self) -> int:
        """Count the weights that only the reading of the source needs, but for the decoder's projections."""

    def embed_flops(self, rows: int) -> float:
        """FLOPs before the encoder's blocks."""
        return 0.0

    def projection_biases(self) -> int:
        """Count a decoder block's biases of the source's keys and values."""
        return 0

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the logits (B, T, V) of every target token in training, else of those that begin."""
        given = batch
        if self.mode != "train":
            given = {**self.source(batch), "decoder_input_ids": self.beginning(batch)}
        logits: torch.Tensor = model(**given).logits
        return logits

    def prefill(self, model: nn.Module, batch: Batch, capacity: int) -> tuple[torch.Tensor, Cache]:
        """Read the sources and begin; the cache holds what is written, whatever `capacity` says."""
        from workloads.hf import cache

        empty = cache.seq2seq_cache(self.n("layers"), self.prompt_length + self.n("new_tokens") - 1)
        begin = self.beginning(batch)
        out = model(**self.source(batch), decoder_input_ids=begin, **empty.given)
        return out.logits[:, -1], cache.filled(empty)

    def decode(self, model: nn.Module, tokens: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Cache]:
        """Write one token for each source."""
        out = model(
            encoder_outputs=(tokens.new_empty((len(tokens), 0, 0)),),  # its keys and values are in the cache
            decoder_input_ids=tokens[:, None],
            **cache.given,
        )
        return out.logits[:, -1], cache

    def rewind(self, cache: Any, length: int) -> Cache:
        """Forget the tokens behind `length`."""
        rewound: Cache = cache.rewind(length)
        return rewound

    def _read_flops(self, rows: int) -> float:
        """The encoder, and the decoder's keys and values of the source."""
        tokens, layers = rows * self.source_length, self.n("layers")
        work = self.embed_flops(rows) + self._block_flops(tokens)
        work += flops.attention(rows, self.source_length, self.source_length, self.attention_width, layers)
        return work + layers * flops.linear(tokens, self.n("hidden"), 2 * self.attention_width)

    def _write_flops(self, rows: int, new: int, context: int) -> float:
        """The decoder and the logits over `new` tokens behind `context` others."""
        hidden, width, layers = self.n("hidden"), self.attention_width, self.n("layers")
        work = self._block_flops(rows * new) + layers * 2 * flops.linear(rows * new, hidden, width)
        work += flops.attention(rows, new, self.source_length, width, layers)
        own = flops.attention(rows, new, new, width, layers, causal=True) if new > 1 else 0.0
        own += flops.attention(rows, new, context + (new == 1), width, layers)
        return work + own + flops.linear(rows * new, hidden, self.n("vocab"))

    def _block_flops(self, tokens: int) -> float:
        hidden, width = self.n("hidden"), self.attention_width
        products = 4 * hidden * width + 2 * hidden * self.n("inner")
        return 2.0 * tokens * self.n("layers") * products

    def units(self, batch: Batch) -> Units:
        """Count a step; every position is a token, for nothing is padded."""
        rows = len(next(iter(batch.values())))
        work = self._read_flops(rows)
        if self.mode == "train":
            written = batch["labels"].shape[1]
            work += self._write_flops(rows, written, 0)
            return Units(rows, self.trained_tokens(batch), 0, flops.TRAIN_FACTOR * work, nbytes(batch))
        made, given = self.n("new_tokens"), self.prompt_length
        work += self._write_flops(rows, given, 0)
        work += sum(self._write_flops(rows, 1, given + done) for done in range(made - 1))
        return Units(rows, rows * made, rows, work, nbytes(batch) + 8.0 * rows * made)

    @abc.abstractmethod
    def trained_tokens(self, batch: Batch) -> int:
        """Count the tokens that a training step reads and writes."""

    def step_units(self, batch_size: int, context: int) -> Units:
        """Count one token a sequence over `context` written ones and the source."""
        work = self._write_flops(batch_size, 1, context)
        return Units(batch_size, batch_size, 0, work, 8.0 * batch_size)

    def unread_weights(self, batch: Batch) -> int:
        """Each token reads the decoder; the encoder, and what projects the source, are read once."""
        project = 2 * self.n("hidden") * self.attention_width + self.projection_biases()
        once = self.encoder_weights() + self.n("layers") * project
        return (self.n("new_tokens") - 1) * once
