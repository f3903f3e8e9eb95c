"""Skip-gram word vectors with negative samples: training."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.inputs.batches import Bytes


class SkipGram(Workload):
    """A word predicts one that stands within `window` words of it, among `negatives` random others.

    Every pair is a sample. Gradients of the tables are dense, so that any optimizer works.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="skipgram",
        title="Skip-gram word vectors",
        family="text",
        summary="Word vectors from pairs of neighbours and negative samples: training",
        unit="samples",
        modes=("train",),
        traits=frozenset({"compiles", "samples"}),
        sizes={
            "tiny": {"batch": 512, "vocab": 2000, "hidden": 64, "negatives": 5, "window": 5},
            "base": {"batch": 65_536, "vocab": 400_000, "hidden": 300, "negatives": 5, "window": 5},
            "large": {"batch": 262_144, "vocab": 3_000_000, "hidden": 300, "negatives": 15, "window": 5},
        },
        train={"optimizer": "sgd", "lr": 1.0},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if data is not None and self.n("vocab") < 256:
            raise ValueError(f"skipgram: bytes of a text need a vocab of 256, not {self.n('vocab')}")

    def build_model(self) -> nn.Module:
        """Build both tables."""
        from workloads.models import skipgram

        return skipgram.SkipGram(vocab=self.n("vocab"), hidden=self.n("hidden"))

    @cached_property
    def _text(self) -> Bytes | None:
        from workloads.inputs.sources import read_text

        return None if self.data is None else read_text(self.data, 2 * self.n("window") + 1)

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens` (B,) and `others` (B, 1 + negatives), of which the first is the neighbour."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, vocab, window = self.n("batch"), self.n("vocab"), self.n("window")
        others = random.integers(0, vocab, (rows, 1 + self.n("negatives")))
        if self._text is None:
            tokens = random.integers(0, vocab, rows)
        else:
            seen, _ = batches.windows(random, self._text, rows, 2 * window + 1)
            beside = random.integers(0, 2 * window, rows)
            tokens = seen[:, window]
            others[:, 0] = seen[np.arange(rows), beside + (beside >= window)]
        return batches.shard({"tokens": tokens, "others": others}, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean over pairs of -ln s(v·u) for the neighbour and each -v·u; s is the sigmoid."""
        from torch.nn import functional as F

        scores = model(batch["tokens"], batch["others"]).float()  # in bf16 the mean has three digits
        near, far = F.logsigmoid(scores[:, 0]), F.logsigmoid(-scores[:, 1:])
        return -(near + far.sum(1)).mean()

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the scores of the pairs, (B, 1 + negatives)."""
        scores: torch.Tensor = model(batch["tokens"], batch["others"])
        return scores

    def units(self, batch: Batch) -> Units:
        """Count a step: one product of two vectors for the neighbour and each negative."""
        rows = len(batch["tokens"])
        work = flops.linear(rows, self.n("hidden"), 1 + self.n("negatives"))
        return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, 8.0 * rows * (2 + self.n("negatives")))
