"""Model-parallel embedding tables: each rank has some tables whole, and a share of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from workloads.base import TRAINING, Workload
from workloads.parallel.ddp import DataParallel
from workloads.parallel.owned import OwnedWeights
from workloads.parallel.shares import uneven_batch
from workloads.parallel.traffic import INDEX, NUMBER, Traffic
from workloads.transform import Cell, TransformSpec

if TYPE_CHECKING:
    from torch import nn

    from workloads.parallel.lookup import SpreadTables
    from workloads.training import Training


class Tables(OwnedWeights):
    """Row numbers travel to the ranks of their tables, and the pooled rows back; each rank has the networks.

    The first ranks have one table more where the tables do not divide by the ranks.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="tables",
        title="Model-parallel embedding tables",
        summary="each rank has some embedding tables whole; row numbers travel there and pooled rows back",
        modes=(*TRAINING, "infer"),
        needs=frozenset({"tables", "samples"}),
        settings=DataParallel.spec.settings,
        compiles=False,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse more ranks than tables, and uneven shares of the batch."""
        if int(cell.size["tables"]) < cell.ranks:
            return f"{cell.size['tables']} tables are fewer than {cell.ranks} ranks"
        return uneven_batch(cell, cell.ranks)

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return the model with this rank's tables in place of all."""
        from workloads.parallel.lookup import SpreadTables

        whole = cast("nn.EmbeddingBag", model.tables)
        model.tables = SpreadTables(whole, workload.n("tables"), self.ranks.rank, self.ranks.world)
        self.own(model.tables.parameters())
        return model

    def traffic(self, training: Training) -> list[Traffic]:
        """Row numbers of the own samples, pooled rows of the own tables, and their gradients."""
        hidden, tables = training.workload.n("hidden"), cast("SpreadTables", training.model.tables)
        parts = training.ring[0]
        samples = sum(len(part["rows"]) for part in parts)
        pooled = samples * hidden * NUMBER * (self.ranks.world * tables.own + tables.tables)
        numbers = INDEX * sum(part["rows"].numel() for part in parts)
        return [*super().traffic(training), Traffic("all_to_all", pooled + numbers, 3 * len(parts))]

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"data": self.ranks.world, "tables": self.ranks.world}}
