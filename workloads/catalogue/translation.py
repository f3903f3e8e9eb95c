"""Machine translation by an encoder-decoder transformer: training, and generation by sampling or beams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, GenerativeWorkload, Size, Units, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.models.transformer import Cache

PAD, BEGIN, FIRST_WORD = range(3)


class Translation(GenerativeWorkload):
    """The transformer as published, base and big, over sentences of uneven length padded to `seq`.

    Training counts the tokens of source and target that are not padding; generation those that it makes,
    always `new_tokens` a sentence. `shape.beams` above 1 searches by beams; 1 samples, and is greedy with
    `workload.top_k=1`. Sentences are random words: this measures speed, not translation.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="translation",
        title="Transformer translation",
        family="text",
        summary="Encoder-decoder transformer: training, and generation by sampling, greedily or by beams",
        unit="tokens",
        modes=("train", "generate"),
        traits=frozenset(
            {"compiles", "linear", "narrows", "attention", "masked", "blocks", "samples", "tensor", "classes"}
        ),
        sizes={
            "tiny": {
                "batch": 8,
                "seq": 32,
                "new_tokens": 16,
                "beams": 1,
                "vocab": 512,
                "hidden": 128,
                "inner": 512,
                "layers": 2,
                "heads": 4,
            },
            "base": {
                "batch": 128,
                "seq": 64,
                "new_tokens": 64,
                "beams": 4,
                "vocab": 37_000,
                "hidden": 512,
                "inner": 2048,
                "layers": 6,
                "heads": 8,
            },
            "large": {
                "batch": 128,
                "seq": 64,
                "new_tokens": 64,
                "beams": 4,
                "vocab": 37_000,
                "hidden": 1024,
                "inner": 4096,
                "layers": 6,
                "heads": 16,
            },
        },
        train={"optimizer": "adamw", "lr": 3e-4},
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        hidden, heads = self.n("hidden"), self.n("heads")
        if hidden % heads or hidden % 2:
            raise ValueError(f"translation: hidden {hidden} is odd or does not divide into {heads} heads")
        if not self.n("beams") < self.n("vocab") - FIRST_WORD:
            raise ValueError(
                f"translation: vocab {self.n('vocab')} does not hold words for {self.n('beams')} beams"
            )

    def build_model(self) -> nn.Module:
        """Build encoder and decoder."""
        from workloads.models import transformer

        keys = ("vocab", "hidden", "inner", "layers", "heads")
        return transformer.Transformer(**{key: self.n(key) for key in keys})

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens` and `mask` (B, S); in training `before` and `targets` (B, S), padded.

        There `word_weight` (B,), equal in all rows, is one over the targets in an average row of the batch.
        """
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, seq = self.n("batch"), self.n("seq")
        places = np.arange(seq)
        mask = places < batches.lengths(random, rows, seq)[:, None]
        arrays = {"tokens": random.integers(FIRST_WORD, self.n("vocab"), (rows, seq)) * mask, "mask": mask}
        if self.mode == "train":
            written = places < batches.lengths(random, rows, seq)[:, None]
            arrays["targets"] = random.integers(FIRST_WORD, self.n("vocab"), (rows, seq)) * written
            begin = np.full((rows, 1), BEGIN)
            arrays["word_weight"] = np.full(rows, rows / int(written.sum()), np.float32)
            arrays["before"] = np.concatenate((begin, arrays["targets"][:, :-1]), 1)
        return batches.shard(arrays, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the targets that are not padding, over the whole batch's words."""
        from torch.nn import functional as F

        logits, _ = model(batch["before"], (batch["tokens"], batch["mask"]))
        targets = batch["targets"].flatten()
        errors = F.cross_entropy(logits.flatten(0, 1), targets, ignore_index=PAD, reduction="sum")
        return errors / len(logits) * batch["word_weight"][0]

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the logits of every target word in training, of the first word in generation."""
        before = batch.get("before", batch["tokens"].new_full((len(batch["tokens"]), 1), BEGIN))
        logits: torch.Tensor = model(before, (batch["tokens"], batch["mask"]))[0]
        return logits

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the blocks of encoder and decoder."""
        return [*model.encoder, *model.decoder]  # type: ignore[misc]

    def prefill(self, model: nn.Module, batch: Batch, capacity: int) -> tuple[torch.Tensor, Cache]:
        """Read the sources and begin; the cache holds `new_tokens` words, whatever `capacity` says."""
        begin = batch["tokens"].new_full((len(batch["tokens"]), 1), BEGIN)
        logits, cache = model(begin, (batch["tokens"], batch["mask"]), self.n("new_tokens"))
        return logits[:, -1], cache

    def decode(self, model: nn.Module, tokens: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Cache]:
        """Write one word for each sentence."""
        logits, cache = model(tokens[:, None], cache)
        return logits[:, -1], cache

    def rewind(self, cache: Any, length: int) -> Cache:
        """Forget the words behind `length`."""
        rewound: Cache = cache._replace(length=length)
        return rewound

    def reorder(self, cache: Any, rows: torch.Tensor) -> Cache:
        """Return the cache of these rows."""
        chosen: Cache = cache.rows(rows)
        return chosen

    def _read_flops(self, rows: int, seq: int) -> float:
        """The encoder, and the decoder's keys and values of the source."""
        hidden, layers = self.n("hidden"), self.n("layers")
        work = flops.encoder_layers(rows * seq, hidden, self.n("inner"), layers)
        work += flops.attention(rows, seq, seq, hidden, layers)
        return work + layers * flops.linear(rows * seq, hidden, 2 * hidden)

    def _write_flops(self, tokens: int) -> float:
        """The decoder's products and the logits, but for those of attention."""
        hidden, layers = self.n("hidden"), self.n("layers")
        work = flops.encoder_layers(tokens, hidden, self.n("inner"), layers)
        return (
            work
            + layers * flops.linear(tokens, hidden, 2 * hidden)
            + flops.linear(tokens, hidden, self.n("vocab"))
        )

    def units(self, batch: Batch) -> Units:
        """Count a step. FLOPs include padding, which the model computes too."""
        rows, seq = batch["tokens"].shape
        hidden, layers = self.n("hidden"), self.n("layers")
        work = self._read_flops(rows, seq)
        moved = float(sum(t.numel() * t.element_size() for t in batch.values()))
        if self.mode == "train":
            work += self._write_flops(rows * seq)
            work += flops.attention(rows, seq, seq, hidden, layers, causal=True)
            work += flops.attention(rows, seq, seq, hidden, layers)
            words = int(batch["mask"].sum()) + int((batch["targets"] != PAD).sum())
            return Units(rows, words, 0, flops.TRAIN_FACTOR * work, moved)
        made, beams = self.n("new_tokens"), self.n("beams")
        steps = [self.step_units(rows * (beams if done else 1), done).flops for done in range(made)]
        return Units(rows, rows * made, rows, work + sum(steps), moved + 8.0 * rows * made)

    def step_units(self, batch_size: int, context: int) -> Units:
        """Count one word a sentence or beam, over the `context` words behind it and `seq` of the source."""
        hidden, layers = self.n("hidden"), self.n("layers")
        work = self._write_flops(batch_size)
        work += flops.attention(batch_size, 1, context + 1 + self.n("seq"), hidden, layers)
        return Units(batch_size, batch_size, 0, work, 8.0 * batch_size)

    def unread_weights(self, batch: Batch) -> int:
        """Each word reads the decoder; the encoder, and what projects the source, are read once."""
        hidden, inner = self.n("hidden"), self.n("inner")
        encoder = 4 * hidden**2 + 2 * hidden * inner + 9 * hidden + inner
        project = 2 * hidden**2 + 2 * hidden
        return (self.n("new_tokens") - 1) * self.n("layers") * (encoder + project)
