"""MLP text classifier: a bag of embeddings and a feed-forward network."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.inputs.batches import Bytes

FIRST_BYTE = 1
"""Token of byte 0; token 0 is padding."""


class MLPClassifier(Workload):
    """Classifies texts of uneven length; a real text's class is the part of the file it comes from."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="mlp",
        title="MLP text classifier",
        family="text",
        summary="Mean of word embeddings and a feed-forward network: training and inference",
        unit="samples",
        modes=("train", "infer"),
        traits=frozenset({"compiles", "linear", "narrows", "samples", "tensor", "stages", "classes"}),
        sizes={
            "tiny": {
                "batch": 64,
                "seq": 64,
                "vocab": 4096,
                "hidden": 256,
                "width": 512,
                "layers": 2,
                "classes": 4,
            },
            "base": {
                "batch": 512,
                "seq": 256,
                "vocab": 32768,
                "hidden": 1024,
                "width": 4096,
                "layers": 4,
                "classes": 20,
            },
            "large": {
                "batch": 1024,
                "seq": 512,
                "vocab": 131072,
                "hidden": 4096,
                "width": 16384,
                "layers": 8,
                "classes": 1000,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("vocab") < 2 or (data is not None and self.n("vocab") < 256 + FIRST_BYTE):
            raise ValueError(f"mlp: vocab {self.n('vocab')} does not hold the tokens and padding")

    def build_model(self) -> nn.Module:
        """Build the classifier."""
        from workloads.models import mlp

        return mlp.BagClassifier(**{k: self.n(k) for k in ("vocab", "hidden", "width", "layers", "classes")})

    @cached_property
    def _text(self) -> Bytes | None:
        from workloads.inputs.sources import read_text

        return None if self.data is None else read_text(self.data, self.n("seq"))

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens` (B, S) padded with 0 to uneven lengths, and `labels` (B,)."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, seq, classes = self.n("batch"), self.n("seq"), self.n("classes")
        if self._text is None:
            tokens = random.integers(1, self.n("vocab"), (rows, seq))
            labels = random.integers(0, classes, rows)
        else:
            tokens, starts = batches.windows(random, self._text, rows, seq)
            tokens += FIRST_BYTE
            labels = batches.part_of_text(starts, self._text, classes)
        tokens[np.arange(seq) >= batches.lengths(random, rows, seq)[:, None]] = 0
        return batches.shard({"tokens": tokens, "labels": labels}, rank, world)

    def inputs(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Return the tokens."""
        return (batch["tokens"],)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the classes."""
        from torch.nn import functional as F

        return F.cross_entropy(model(*self.inputs(batch)), batch["labels"])

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return class logits (B, classes)."""
        logits: torch.Tensor = model(batch["tokens"])
        return logits

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the hidden layers."""
        return list(model.hidden)  # type: ignore[arg-type]

    def unread_weights(self, batch: Batch) -> int:
        """The embeddings of words that do not occur."""
        from workloads.inputs.batches import distinct

        return (self.n("vocab") - distinct(batch["tokens"])) * self.n("hidden")

    def units(self, batch: Batch) -> Units:
        """Count a step; summing the embeddings is no matrix product and not counted."""
        tokens = batch["tokens"]
        rows = len(tokens)
        widths = [self.n("hidden"), *[self.n("width")] * self.n("layers"), self.n("classes")]
        work = sum(flops.linear(rows, i, o) for i, o in pairwise(widths))
        words = int((tokens != 0).sum())
        if self.mode == "train":
            return Units(rows, words, 0, flops.TRAIN_FACTOR * work, 8.0 * (tokens.numel() + rows))
        return Units(rows, words, rows, work, 8.0 * tokens.numel() + 4.0 * rows * self.n("classes"))
