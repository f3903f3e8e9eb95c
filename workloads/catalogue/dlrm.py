"""DLRM: click prediction from dense features and embedding tables, training and inference."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

DENSE = 13
"""Dense features of the Criteo data sets."""


class DLRM(Workload):
    """Deep learning recommendation: the tables' traffic, not arithmetic, is most of the work.

    Every feature looks up `bag` rows of its own table. Networks shrink as in the published model: the dense
    features pass through widths 4·hidden, 2·hidden and hidden; the pairs' products through 8·hidden, 4·hidden
    and 2·hidden. Embedding gradients are dense, so that any optimizer works.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="dlrm",
        title="DLRM recommendation",
        family="recommendation",
        summary="Click prediction by embedding tables and feed-forward networks: training and inference",
        unit="samples",
        modes=("train", "infer"),
        traits=frozenset({"compiles", "linear", "samples", "tables"}),
        sizes={
            "tiny": {"batch": 256, "tables": 8, "rows": 1000, "bag": 4, "hidden": 16},
            "base": {"batch": 8192, "tables": 26, "rows": 400_000, "bag": 1, "hidden": 128},
            "large": {"batch": 65_536, "tables": 26, "rows": 4_000_000, "bag": 20, "hidden": 128},
        },
        train={"optimizer": "sgd", "lr": 0.01},
    )

    def build_model(self) -> nn.Module:
        """Build tables and networks."""
        from workloads.models import dlrm

        return dlrm.DLRM(
            dense=self._dense_widths, over=self._over_widths, tables=self.n("tables"), rows=self.n("rows")
        )

    @property
    def _dense_widths(self) -> list[int]:
        hidden = self.n("hidden")
        return [DENSE, 4 * hidden, 2 * hidden, hidden]

    @property
    def _over_widths(self) -> list[int]:
        hidden, vectors = self.n("hidden"), self.n("tables") + 1
        return [hidden + vectors * (vectors - 1) // 2, 8 * hidden, 4 * hidden, 2 * hidden, 1]

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `dense` (B, 13), `rows` (B, tables, bag) within their tables, and `clicks` (B,), 0 or 1."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        samples = self.n("batch")
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "dense": random.standard_normal((samples, DENSE), dtype=np.float32),
            "rows": random.integers(0, self.n("rows"), (samples, self.n("tables"), self.n("bag"))),
            "clicks": random.integers(0, 2, samples).astype(np.float32),
        }
        return batches.shard(arrays, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean binary cross-entropy of the clicks."""
        from torch.nn import functional as F

        logits = model(batch["dense"], batch["rows"])
        return F.binary_cross_entropy_with_logits(logits, batch["clicks"])

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return click logits (B,)."""
        logits: torch.Tensor = model(batch["dense"], batch["rows"])
        return logits

    def unread_weights(self, batch: Batch) -> int:
        """The tables' rows that no sample looks up."""
        from workloads.inputs.batches import distinct

        read = sum(distinct(batch["rows"][:, table]) for table in range(self.n("tables")))
        return (self.n("tables") * self.n("rows") - read) * self.n("hidden")

    def units(self, batch: Batch) -> Units:
        """Count a step: the networks and all pairs' products; looking rows up is no arithmetic."""
        samples = len(batch["dense"])
        widths = [*pairwise(self._dense_widths), *pairwise(self._over_widths)]
        work = sum(flops.linear(samples, i, o) for i, o in widths)
        work += flops.linear(samples * (self.n("tables") + 1), self.n("hidden"), self.n("tables") + 1)
        read = 4.0 * batch["dense"].numel() + 8.0 * batch["rows"].numel()
        if self.mode == "train":
            return Units(samples, 0, 0, flops.TRAIN_FACTOR * work, read + 4.0 * samples)
        return Units(samples, 0, samples, work, read + 4.0 * samples)
