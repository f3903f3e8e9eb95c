"""GPT: a decoder-only language model; training, prefill, decoding from a cache, generation."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads import flops
from workloads.base import Batch, GenerativeWorkload, Size, Units, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.batches import Bytes
    from workloads.nets.gpt import Cache


class GPT(GenerativeWorkload):
    """GPT-2: `base` is the published small model, `large` the XL.

    Training reads `seq` tokens of each sample, the other modes prompts of `prompt` tokens. A decode step adds
    one token behind them, a generate step `new_tokens`; tokens are those read in training and prefill, and
    those made in decoding and generation.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="gpt",
        title="GPT decoder",
        family="text",
        summary="Decoder-only transformer (GPT-2): training, prefill, decode with a KV cache, generation",
        unit="tokens",
        modes=("train", "prefill", "decode", "generate"),
        sizes={
            "tiny": {
                "batch": 4,
                "seq": 64,
                "prompt": 64,
                "new_tokens": 16,
                "vocab": 256,
                "positions": 256,
                "hidden": 128,
                "layers": 4,
                "heads": 4,
            },
            "base": {
                "batch": 8,
                "seq": 1024,
                "prompt": 512,
                "new_tokens": 128,
                "vocab": 50257,
                "positions": 1024,
                "hidden": 768,
                "layers": 12,
                "heads": 12,
            },
            "large": {
                "batch": 8,
                "seq": 1024,
                "prompt": 512,
                "new_tokens": 128,
                "vocab": 50257,
                "positions": 1024,
                "hidden": 1600,
                "layers": 48,
                "heads": 25,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        longest = {"train": self.n("seq"), "prefill": self.n("prompt"), "decode": self.n("prompt") + 1}.get(
            mode, self.n("prompt") + self.n("new_tokens") - 1
        )
        if longest > self.n("positions"):
            raise ValueError(f"gpt {mode}: {longest} positions wanted, the model has {self.n('positions')}")
        if self.n("hidden") % self.n("heads"):
            raise ValueError(f"gpt: hidden {self.n('hidden')} does not divide into {self.n('heads')} heads")
        if data is not None and self.n("vocab") < 256:
            raise ValueError(f"gpt: bytes of a text need a vocab of 256, not {self.n('vocab')}")

    def build_model(self) -> nn.Module:
        """Build the model; the output layer is the token embedding."""
        from workloads.nets import gpt

        return gpt.GPT(**{key: self.n(key) for key in ("vocab", "positions", "hidden", "layers", "heads")})

    @cached_property
    def _text(self) -> Bytes | None:
        from workloads.sources import read_text

        return None if self.data is None else read_text(self.data, self._length)

    @property
    def _length(self) -> int:
        return self.n("seq") + 1 if self.mode == "train" else self.n("prompt")

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens` (B, S), and in training the `targets` that follow them."""
        from workloads import batches

        return batches.language(
            batches.rng(self.seed, index), self._text, self.n("batch"), self._length, self.n("vocab"),
            targets=self.mode == "train", rank=rank, world=world,
        )  # fmt: skip

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the next token."""
        from torch.nn import functional as F

        logits = model(batch["tokens"])
        return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten())

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the transformer blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def prefill(self, model: nn.Module, batch: Batch, capacity: int) -> tuple[torch.Tensor, Cache]:
        """Read the prompts into a new cache."""
        tokens = batch["tokens"]
        cache: Cache = model.empty_cache(len(tokens), capacity)  # type: ignore[operator]
        logits = model(tokens, cache, last_only=True)
        return logits, cache._replace(length=tokens.shape[1])

    def decode(self, model: nn.Module, tokens: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Cache]:
        """Feed one token for each sequence; the cache is written in place."""
        logits = model(tokens[:, None], cache, last_only=True)
        return logits, cache._replace(length=cache.length + 1)

    def rewind(self, cache: Any, length: int) -> Cache:
        """Forget the positions behind `length`; their slots are written again."""
        rewound: Cache = cache._replace(length=length)
        return rewound

    def units(self, batch: Batch) -> Units:
        """Count a step; logits are computed for every position in training, else for the last one only."""
        rows, seq = batch["tokens"].shape
        hidden, layers, vocab = self.n("hidden"), self.n("layers"), self.n("vocab")
        blocks = flops.encoder_layers(rows * seq, hidden, 4 * hidden, layers)
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

    def step_units(self, batch_size: int, context: int) -> Units:
        """Count one decode step: 2·N + 4·L·d·ctx a token, where ctx counts the token itself."""
        hidden, layers = self.n("hidden"), self.n("layers")
        work = flops.encoder_layers(batch_size, hidden, 4 * hidden, layers)
        work += flops.attention(batch_size, 1, context + 1, hidden, layers)
        work += flops.linear(batch_size, hidden, self.n("vocab"))
        return Units(batch_size, batch_size, 0, work, 8.0 * batch_size)
