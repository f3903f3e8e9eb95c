"""Distributed inference by replicas: every rank holds the model and serves its own share of the requests."""

from __future__ import annotations

from typing import Any, ClassVar

from workloads.compress.registry import BUILT_IN
from workloads.parallel.base import Strategy
from workloads.parallel.shares import uneven_batch
from workloads.transform import Cell, TransformSpec


class Replicated(Strategy):
    """Ranks that never wait for one another: throughput adds up, latency stays that of one."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="replicated",
        title="Replicated inference",
        summary="each rank holds the whole model and serves its own share of the requests",
        modes=("infer", "prefill", "decode", "generate"),
        precisions=("fp32", "tf32", "bf16", "fp16"),
        compress=("none", *BUILT_IN),
    )

    @property
    def shard(self) -> tuple[int, int]:
        """An equal share for each rank."""
        return self.ranks.rank, self.ranks.world

    @property
    def counts(self) -> bool:
        """Every rank counts its own share."""
        return True

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse a batch that does not split evenly."""
        return uneven_batch(cell, cell.ranks)

    def evidence(self) -> dict[str, Any]:
        """Tell the layout."""
        return {"parallel": {"replicas": self.ranks.world}}
