"""What the language models share: windows of text, next-token loss, and a decoder's cache and counts."""

from __future__ import annotations

import abc
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, GenerativeWorkload, Size, Units
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.inputs.batches import Bytes


DECODER_TRAITS = frozenset(
    {"compiles", "linear", "attention", "kv_cache", "blocks", "samples", "stages", "sequence", "classes"}
)
"""Of decoder-only transformers in this project's own modules."""


class LanguageModel(GenerativeWorkload):
    """Trains on `seq` tokens of each sample; the other modes read prompts of `prompt` tokens."""

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if data is not None and self.n("vocab") < 256:
            raise ValueError(f"{self.spec.name}: bytes of a text need a vocab of 256, not {self.n('vocab')}")

    @cached_property
    def _text(self) -> Bytes | None:
        from workloads.inputs.sources import read_text

        return None if self.data is None else read_text(self.data, self._length)

    @property
    def _length(self) -> int:
        return self.n("seq") + 1 if self.mode == "train" else self.n("prompt")

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens` (B, S), and in training the `targets` that follow them."""
        from workloads.inputs import batches

        return batches.language(
            batches.rng(self.seed, index), self._text, self.n("batch"), self._length, self.n("vocab"),
            targets=self.mode == "train", rank=rank, world=world,
        )  # fmt: skip

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the logits (B, S, V) of every position."""
        found = model(batch["tokens"])
        logits: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return logits


class RecurrentLanguageModel(LanguageModel):
    """A language model whose cache is a state that the context does not grow.

    Its torch module returns the logits with the new state, and takes `last_only`.
    """

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the next token."""
        from torch.nn import functional as F

        logits, _ = model(batch["tokens"])
        return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten())

    def prefill(self, model: nn.Module, batch: Batch, capacity: int) -> tuple[torch.Tensor, Any]:
        """Read the prompts; the state holds any number of positions."""
        logits, state = model(batch["tokens"], last_only=True)
        return logits, state

    def decode(self, model: nn.Module, tokens: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        """Feed one token for each sequence."""
        logits, state = model(tokens[:, None], cache, last_only=True)
        return logits, state

    def rewind(self, cache: Any, length: int) -> Any:
        """Return the state itself: a step makes a new one and leaves the old as it was."""
        return cache


class DecoderLanguageModel(LanguageModel):
    """A decoder-only transformer whose cache holds keys and values, written in place.

    A decode step adds one token behind the prompt, a generate step `new_tokens`; tokens are those read in
    training and prefill, and those made in decoding and generation. A subclass gives the model and what the
    matrix products of its blocks cost.
    """

    tied: ClassVar[bool] = True
    """True when the output layer is the token embedding, so that a step reads all of it."""

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        name, positions = self.spec.name, self.n("positions")
        longest = {"train": self.n("seq"), "prefill": self.n("prompt"), "decode": self.n("prompt") + 1}.get(
            mode, self.n("prompt") + self.n("new_tokens") - 1
        )
        if longest > positions:
            raise ValueError(f"{name} {mode}: {longest} positions wanted, the model has {positions}")
        if self.n("hidden") % self.n("heads"):
            raise ValueError(
                f"{name}: hidden {self.n('hidden')} does not divide into {self.n('heads')} heads"
            )

    @abc.abstractmethod
    def block_flops(self, tokens: int) -> float:
        """FLOPs of all blocks' matrix products over `tokens` positions, but for q·kᵀ and p·v."""

    def inputs(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Return the tokens."""
        return (batch["tokens"],)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the next token."""
        from torch.nn import functional as F

        logits = model(*self.inputs(batch))
        return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten())

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the transformer blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def prefill(self, model: nn.Module, batch: Batch, capacity: int) -> tuple[torch.Tensor, Any]:
        """Read the prompts into a new cache."""
        from workloads.models.gpt import GrowingCache

        tokens, layers = batch["tokens"], self.n("layers")
        if self.kv_cache == "growing":
            cache = GrowingCache([tokens] * layers, [tokens] * layers, 0)
        else:
            cache = model.empty_cache(len(tokens), capacity)  # type: ignore[operator]
        logits = model(tokens, cache, last_only=True)
        return logits, cache._replace(length=tokens.shape[1])

    def decode(self, model: nn.Module, tokens: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        """Feed one token for each sequence; the cache is written in place."""
        logits = model(tokens[:, None], cache, last_only=True)
        return logits, cache._replace(length=cache.length + 1)

    def rewind(self, cache: Any, length: int) -> Any:
        """Forget the positions behind `length`; in a static cache their slots are written again."""
        return cache.rewound(length) if self.kv_cache == "growing" else cache._replace(length=length)

    def units(self, batch: Batch) -> Units:
        """Count a step; logits are computed for every position in training, else for the last one only."""
        rows, seq = batch["tokens"].shape
        hidden, layers, vocab = self.n("hidden"), self.n("layers"), self.n("vocab")
        blocks = self.block_flops(rows * seq)
        blocks += flops.attention(rows, seq, seq, hidden, layers, causal=True)
        read = 8.0 * rows * seq
        if self.mode == "train":
            forward = blocks + flops.linear(rows * seq, hidden, vocab)
            return Units(rows, rows * seq, 0, flops.TRAIN_FACTOR * forward, 2 * read)
        if self.mode == "decode":
            return self.step_units(rows, seq)
        first = Units(rows, rows * seq, rows, blocks + flops.linear(rows, hidden, vocab), read)
        if self.mode == "prefill":
            return first
        made = self.n("new_tokens")
        steps = [self.step_units(rows, seq + done) for done in range(made - 1)]
        work = first.flops + sum(step.flops for step in steps)
        return Units(rows, rows * made, rows, work, read + 8.0 * rows * made)

    def unread_weights(self, batch: Batch) -> int:
        """The rows of an embedding of its own that no token looks up, in every pass."""
        from workloads.inputs.batches import distinct

        if self.tied:
            return 0
        tokens, passes = batch["tokens"], self.n("new_tokens") if self.mode == "generate" else 1
        first = tokens[:, -1] if self.mode == "decode" else tokens
        read = distinct(first) + (passes - 1) * min(len(tokens), self.n("vocab"))
        return (passes * self.n("vocab") - read) * self.n("hidden")

    def step_units(self, batch_size: int, context: int) -> Units:
        """Count one decode step: 2·N + 4·L·d·ctx per token, where ctx counts the token itself."""
        work = self.block_flops(batch_size)
        work += flops.attention(batch_size, 1, context + 1, self.n("hidden"), self.n("layers"))
        work += flops.linear(batch_size, self.n("hidden"), self.n("vocab"))
        return Units(batch_size, batch_size, 0, work, 8.0 * batch_size)
