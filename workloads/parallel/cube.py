"""Three dimensions of ranks: matrices split within a stage, stages of a pipeline, copies of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from workloads.base import TRAINING, Workload
from workloads.parallel.base import Ranks
from workloads.parallel.pipeline import Pipeline
from workloads.parallel.shares import uneven_batch
from workloads.parallel.tensor import split_traffic, unsplittable
from workloads.parallel.traffic import Traffic, combined, gradient_bytes, own_part
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.parallel.stages import Part
    from workloads.training import Training


class Cube(Pipeline):
    """Tensor parallel among neighbouring ranks, a pipeline over groups of them, and copies of pipelines.

    The copies' gradients are averaged when a batch is through.
    """

    spreads_weights = True
    spec: ClassVar[TransformSpec] = TransformSpec(
        name="hybrid_3d",
        title="Data by pipeline by tensor parallel",
        summary="3-D: split matrices, stages of a pipeline, and copies of it that share the samples",
        modes=TRAINING,
        needs=frozenset({"tensor", "stages", "blocks", "samples"}),
        settings={
            "tensor": Setting(2, "ranks among which matrices are split", least=2),
            "pipeline": Setting(2, "stages of a pipeline", least=2),
            "schedule": Setting("1f1b", "order of passes", choices=("gpipe", "1f1b")),
            "micro_batches": Setting(2, "parts of a share that follow one another", least=1),
        },
        compiles=False,
    )

    @property
    def _shape(self) -> tuple[int, int, int]:
        """Copies, stages, parts of a matrix."""
        tensor, stages = int(self.settings["tensor"]), int(self.settings["pipeline"])
        return self.ranks.world // (tensor * stages), stages, tensor

    @property
    def shard(self) -> tuple[int, int]:
        """An equal share for each copy."""
        copies, stages, tensor = self._shape
        return self.ranks.rank // (stages * tensor), copies

    @property
    def counts(self) -> bool:
        """The first rank of each copy counts its share."""
        _, stages, tensor = self._shape
        return self.ranks.rank % (stages * tensor) == 0

    @property
    def line(self) -> Ranks:
        """The rank's stage, and how many there are."""
        _, stages, tensor = self._shape
        return Ranks(self.ranks.rank // tensor % stages, stages)

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse ranks that do not form copies, and numbers that do not divide."""
        tensor, stages = int(cell.parallel_settings["tensor"]), int(cell.parallel_settings["pipeline"])
        if cell.ranks % (tensor * stages):
            return f"{cell.ranks} ranks do not form copies of {stages} stages by {tensor}"
        copies = cell.ranks // (tensor * stages)
        if (reason := unsplittable(cell, tensor, sequence=False) or uneven_batch(cell, copies)) is not None:
            return reason
        share = {**cell.size, "batch": int(cell.size["batch"]) // copies}
        return super().refusal(replace(cell, ranks=stages, size=share))

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return this rank's stage, with its part of the matrices."""
        from torch.distributed.device_mesh import init_device_mesh

        from workloads.parallel.splitting import split_model

        device = next(model.parameters()).device.type
        self._mesh = init_device_mesh(device, self._shape, mesh_dim_names=("data", "stage", "tensor"))
        self._group = self._mesh.get_group("stage")
        parts = super().place(workload, model)
        split_model(parts, self._mesh["tensor"], [])
        return parts

    def ends(self) -> list[list[int]]:
        """First and last rank of every pipeline."""
        copies, stages, tensor = self._shape
        firsts = [copy * stages * tensor + part for copy in range(copies) for part in range(tensor)]
        return [[first, first + (stages - 1) * tensor] for first in firsts]

    def optimizer(
        self, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], model: nn.Module
    ) -> torch.optim.Optimizer:
        """Return the optimizer of split and of whole weights."""
        from workloads.parallel.data import spread_optimizer

        return spread_optimizer(make, model)

    def average(self, model: nn.Module) -> None:
        """Average the copies' gradients."""
        from torch import distributed as dist

        copies, group = self._shape[0], self._mesh.get_group("data")
        for parameter in model.parameters():
            if parameter.grad is not None and copies > 1:
                own = own_part(parameter.grad)
                dist.all_reduce(own, group=group)
                own /= copies

    def world_losses(self, losses: torch.Tensor) -> torch.Tensor:
        """Average the last stages' losses; all other ranks have zeros."""
        from torch import distributed as dist

        copies, _, tensor = self._shape
        total = losses.clone()
        dist.all_reduce(total)
        return total / (copies * tensor)

    def traffic(self, training: Training) -> list[Traffic]:
        """What its pipeline sends, those that share its matrices, and the copies' gradients."""
        own = cast("list[Part]", list(training.model.children()))
        blocks, micro = sum(len(part.blocks) for part in own), int(self.settings["micro_batches"])
        copies, _, tensor = self._shape
        line, weights = super().traffic(training), list(training.model.parameters())
        if not line:
            return []
        split = split_traffic(training, blocks, tensor, micro, sequence=False)
        means = [Traffic("all_reduce", gradient_bytes(weights), len(weights))] if copies > 1 else []
        return combined(line, split, means)

    def evidence(self) -> dict[str, Any]:
        """Report the layout, with the pipeline's own."""
        copies, _, tensor = self._shape
        return {"parallel": {"data": copies, "tensor": tensor} | super().evidence()["parallel"]}
