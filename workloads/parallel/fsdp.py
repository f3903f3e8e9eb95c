"""Fully sharded data parallel: each rank keeps a part of every weight, and gathers blocks when they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import TRAINING, Workload
from workloads.compress.registry import PLAIN
from workloads.parallel.shares import Shares
from workloads.parallel.traffic import Traffic, padded_bytes
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.distributed.device_mesh import DeviceMesh

    from workloads.training import Mark, Training

RESHARD = Setting(default=True, about="give a block's gathered weights back after its forward pass")


class FullyShardedDataParallel(Shares):
    """Torch's `fully_shard` (FSDP2) over each of the workload's blocks, and over the rest.

    Weights, gradients and optimizer state are sharded. At precision bf16 weights are gathered as bf16, and
    gradients reduced as fp32.
    """

    spreads_weights = True
    spec: ClassVar[TransformSpec] = TransformSpec(
        name="fsdp",
        title="Fully sharded data parallel",
        summary="each rank keeps a part of every weight; a block's are gathered when it runs (FSDP2)",
        modes=TRAINING,
        needs=frozenset({"samples", "blocks"}),
        settings={"reshard_after_forward": RESHARD},
        compress=("none", *PLAIN),
        compiles=False,
    )

    def mesh(self, device: str) -> DeviceMesh:
        """Return the ranks among which a weight is sharded, in the last dimension."""
        from torch.distributed.device_mesh import init_device_mesh

        return init_device_mesh(device, (self.ranks.world,), mesh_dim_names=("shard",))

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Shard the weights in place."""
        from workloads.parallel.data import shard_weights

        device = next(model.parameters()).device.type
        self._padded = padded_bytes(model.parameters(), self.shards)
        self._module = shard_weights(
            model,
            workload.blocks(model),
            self.mesh(device),
            reshard=bool(self.settings["reshard_after_forward"]),
            bf16=self.precision == "bf16",
        )
        return model

    def optimizer(
        self, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], model: nn.Module
    ) -> torch.optim.Optimizer:
        """Return the optimizer of the weights as they are spread."""
        from workloads.parallel.data import spread_optimizer

        return spread_optimizer(make, model)

    def train_step(self, training: Training) -> Callable[[int, Mark], None]:
        """Return the step with the loss behind the module that gathers weights."""
        from workloads.parallel.data import wrapped_step

        return wrapped_step(training, self._module)

    def traffic(self, training: Training) -> list[Traffic]:
        """All weights gathered for the forward pass, again for the backward, and their gradients reduced.

        A weight's rows are padded to a multiple of the ranks that share them.
        """
        parts, blocks = len(training.ring[0]), training.workload.blocks(training.model)
        frozen = any(not weight.requires_grad for weight in training.model.parameters())
        if frozen or len(set(blocks)) < len(blocks):
            return []  # how often frozen or shared weights are gathered is not known
        gathers = parts * (1 + bool(self.settings["reshard_after_forward"]))
        groups = len(blocks) + 1
        return [
            Traffic("all_gather", gathers * self._padded, gathers * groups),
            Traffic("reduce_scatter", parts * self._padded, parts * groups),
        ]

    @property
    def shards(self) -> int:
        """Ranks that share one copy of the weights."""
        return self.ranks.world

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"data": self.ranks.world, "weight_shards": self.shards}}


class HybridSharded(FullyShardedDataParallel):
    """Weights sharded within groups of ranks, and copied between them: gathers stay within a group."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="hsdp",
        title="Hybrid sharded data parallel",
        summary="weights sharded within groups of ranks, gradients averaged between the groups too (HSDP)",
        modes=TRAINING,
        needs=FullyShardedDataParallel.spec.needs,
        settings={
            "reshard_after_forward": RESHARD,
            "group": Setting(2, "ranks that share one copy of the weights", least=2),
        },
        compress=("none", *PLAIN),
        compiles=False,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse ranks that do not form groups, beside a batch that does not split evenly."""
        group = int(cell.parallel_settings["group"])
        if cell.ranks % group:
            return f"{cell.ranks} ranks do not form groups of {group}"
        return super().refusal(cell)

    def mesh(self, device: str) -> DeviceMesh:
        """Return the ranks as copies by shards."""
        from torch.distributed.device_mesh import init_device_mesh

        shape = (self.ranks.world // self.shards, self.shards)
        return init_device_mesh(device, shape, mesh_dim_names=("copy", "shard"))

    def traffic(self, training: Training) -> list[Traffic]:
        """Those of a group, and its gradients' shards added up between the groups."""
        sent = super().traffic(training)
        reduced = [one for one in sent if one.kind == "reduce_scatter"]
        return [*sent, *(Traffic("all_reduce", one.bytes / self.shards, one.calls) for one in reduced)]

    @property
    def shards(self) -> int:
        """The ranks of a group."""
        return int(self.settings["group"])
