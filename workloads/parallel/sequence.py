"""Sequence parallelism after Ulysses: every rank has a part of each sequence, but for attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import TRAINING, Batch, Workload
from workloads.parallel.ddp import DataParallel
from workloads.parallel.traffic import NUMBER, Traffic
from workloads.transform import Cell, TransformSpec

if TYPE_CHECKING:
    from torch import nn

    from workloads.training import Training


class Sequence(DataParallel):
    """Ranks hold consecutive positions, and exchange them for heads around each attention.

    Queries, keys and values go to the ranks of their heads in one all-to-all, what was attended comes back in
    another (Jacobs et al. 2023). The weights are whole on every rank and their gradients averaged. A language
    model takes its loss over the rank's own positions; another model gathers all behind its last block.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="sequence",
        title="Sequence parallel (Ulysses)",
        summary="each rank has a part of every sequence, and in attention some heads of the whole of it",
        modes=(*TRAINING, "infer", "prefill"),
        needs=frozenset({"sequence", "attention", "blocks"}),
        settings=DataParallel.spec.settings,
        compiles=False,
    )

    @property
    def shard(self) -> tuple[int, int]:
        """All ranks have the same samples."""
        return 0, 1

    @property
    def counts(self) -> bool:
        """One rank counts the samples of all."""
        return self.ranks.rank == 0

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Return which number does not divide by the ranks."""
        size, length = cell.size, "prompt" if cell.mode == "prefill" else "seq"
        for key in ("heads", "kv_heads", length):
            if int(size.get(key, cell.ranks)) % cell.ranks:
                return f"{key} {size[key]} does not divide by {cell.ranks} ranks"
        if int(size[length]) < 2 * cell.ranks:
            return f"{length} {size[length]} leaves a rank fewer than 2 positions"
        if size.get("shared"):
            return (
                "sequence cannot tell the first from the last of layers that share one weight (shape.shared)"
            )
        return None

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return the model, whose attention exchanges positions for heads."""
        from workloads.parallel import ulysses

        ulysses.exchange_heads(model)
        self._split = hasattr(model, "first_position")
        if self._split:
            length = workload.n("prompt" if workload.mode == "prefill" else "seq")
            model.first_position = self.ranks.rank * length // self.ranks.world  # type: ignore[assignment]
            if workload.mode == "prefill":
                ulysses.answer_from_last(model)
        else:
            ulysses.split_between(*(workload.blocks(model)[at] for at in (0, -1)))
        return model

    def share(self, batch: Batch) -> Batch:
        """Return the rank's own positions of a language model's batch."""
        if not self._split:
            return batch
        rank, world = self.ranks.rank, self.ranks.world
        return {name: tensor.chunk(world, 1)[rank] for name, tensor in batch.items()}

    def traffic(self, training: Training) -> list[Traffic]:
        """In each block and pass queries, keys and values in one call, and what was attended in another.

        A model that gathers its positions behind the last block does so once, and back in the backward pass.
        """
        workload, parts = training.workload, training.ring[0]
        hidden, layers, world = workload.n("hidden"), workload.n("layers"), self.ranks.world
        heads = workload.n("heads")
        kv = hidden * int(workload.size.get("kv_heads", heads)) // heads
        positions = sum(len(part["tokens"]) for part in parts) * workload.n("seq")
        size = 2 * layers * positions // world * 2 * (hidden + kv) * NUMBER
        calls = 4 * layers
        if not self._split:
            size, calls = size + 2 * positions * hidden * NUMBER, calls + 2
        return [*super().traffic(training), Traffic("all_to_all", size, calls * len(parts))]

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"sequence": self.ranks.world}}
