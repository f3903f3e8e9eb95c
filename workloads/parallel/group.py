"""Ranks that form a group and nothing else: for work that is itself an exchange between them."""

from __future__ import annotations

from typing import Any, ClassVar

from workloads.parallel.base import Strategy
from workloads.transform import Cell, TransformSpec


class Group(Strategy):
    """Every rank takes part in the same step, which is counted once."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="group",
        title="Group of ranks",
        summary="ranks for work that is itself an exchange between them",
        modes=("infer",),
        needs=frozenset({"ranks"}),
        precisions=("fp32",),
    )

    @property
    def shard(self) -> tuple[int, int]:
        """Each rank has data of its own."""
        return self.ranks.rank, self.ranks.world

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse a rank alone."""
        return f"{cell.workload.name} needs two ranks at least" if cell.ranks < 2 else None

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"ranks": self.ranks.world}}
