"""Two dimensions of ranks: matrices split within groups, weights sharded and samples shared between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import TRAINING, Workload
from workloads.parallel.fsdp import RESHARD, FullyShardedDataParallel
from workloads.parallel.shares import uneven_batch
from workloads.parallel.tensor import SEQUENCE, norm_traffic, split_traffic, unsplittable
from workloads.parallel.traffic import combined, padded_bytes
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    from torch import nn

    from workloads.parallel.traffic import Traffic
    from workloads.training import Training


class Hybrid(FullyShardedDataParallel):
    """Tensor parallel among neighbouring ranks, FSDP2 among those that hold the same part of the matrices."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="hybrid",
        title="Data by tensor parallel",
        summary="2-D: matrices split among neighbouring ranks, samples and weights shared between the groups",
        modes=TRAINING,
        needs=frozenset({"tensor", "samples", "blocks"}),
        settings={
            "tensor": Setting(2, "ranks among which matrices are split", least=2),
            "sequence": SEQUENCE,
            "reshard_after_forward": RESHARD,
        },
        compiles=False,
    )

    @property
    def _tensor(self) -> int:
        return int(self.settings["tensor"])

    @property
    def shards(self) -> int:
        """The groups, one of whose ranks each has the same part of the matrices."""
        return self.ranks.world // self._tensor

    @property
    def shard(self) -> tuple[int, int]:
        """An equal share for each group."""
        return self.ranks.rank // self._tensor, self.shards

    @property
    def counts(self) -> bool:
        """The first rank of each group counts its share."""
        return self.ranks.rank % self._tensor == 0

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse ranks that do not form groups, and numbers that do not divide."""
        tensor = int(cell.parallel_settings["tensor"])
        if cell.ranks % tensor:
            return f"{cell.ranks} ranks do not form groups of {tensor}"
        sequence = bool(cell.parallel_settings["sequence"])
        return unsplittable(cell, tensor, sequence=sequence) or uneven_batch(cell, cell.ranks // tensor)

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Split the matrices, then shard what each rank has of them."""
        from torch.distributed.device_mesh import init_device_mesh

        from workloads.parallel.data import shard_weights
        from workloads.parallel.splitting import split_model

        device, blocks = next(model.parameters()).device.type, workload.blocks(model)
        shape = (self.shards, self._tensor)
        mesh = init_device_mesh(device, shape, mesh_dim_names=("data", "tensor"))
        split_model(model, mesh["tensor"], blocks if self.settings["sequence"] else [])
        self._padded = padded_bytes(model.parameters(), self.shards)
        self._module = shard_weights(
            model,
            blocks,
            mesh["data"],
            reshard=bool(self.settings["reshard_after_forward"]),
            bf16=self.precision == "bf16",
        )
        return model

    def traffic(self, training: Training) -> list[Traffic]:
        """What FSDP sends of this rank's part of the matrices, and those send that share a matrix."""
        blocks, parts = training.workload.n("layers"), len(training.ring[0])
        sequence = bool(self.settings["sequence"])
        states = split_traffic(training, blocks, self._tensor, parts, sequence=sequence)
        sharded = super().traffic(training)
        if not (states and sharded):
            return []
        norms = norm_traffic(training.model, parts) if sequence else []
        return combined(sharded if self.shards > 1 else [], states, norms)

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        layout = {"data": self.shards, "tensor": self._tensor, "weight_shards": self.ranks.world}
        return {"parallel": layout | {"sequence": bool(self.settings["sequence"])}}
