"""Several devices of one process under XLA, which splits the step over them; `workloads.jax.mesh` does it."""

from __future__ import annotations

from typing import ClassVar

from workloads.parallel.base import Strategy
from workloads.transform import Cell, Setting, TransformSpec


class Mesh(Strategy):
    """A batch split over the devices, with all weights on each, or a part of each weight as under FSDP."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="mesh",
        title="Mesh of devices",
        summary="XLA splits the batch over devices of one process, and the weights too if asked",
        modes=("train", "finetune", "infer"),
        needs=frozenset({"samples"}),
        settings={
            "devices": Setting(2, "devices of this process that share the batch", least=1),
            "weights": Setting("whole", "on each device, or split as FSDP does", choices=("whole", "split")),
        },
        precisions=("fp32", "bf16"),
        devices=("xla",),
        shares_device=True,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse several processes, and batches that do not split evenly."""
        if cell.ranks != 1:
            return "parallel=mesh is one process of several devices: set parallel.settings.devices, not ranks"
        devices, batch = int(cell.parallel_settings["devices"]), int(cell.size["batch"]) // cell.accumulate
        return f"batch {batch} does not split evenly over {devices} devices" if batch % devices else None
