"""Copies between the host's memory and a device's, in either direction; on the CPU within its own memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

DIRECTIONS = ("to_device", "to_host")


class Copy(Workload):
    """`batch` copies per step, one behind the other, of `kib` KiB each; a sample is one of them.

    `shape.pinned` keeps the host's side in page-locked memory, from which a CUDA device copies by itself.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="copy",
        title="Host-device copy",
        family="micro",
        summary="copies of shape.kib KiB, shape.direction to_device or to_host, shape.pinned or not",
        unit="samples",
        modes=("infer",),
        sizes={
            "tiny": {"batch": 4, "kib": 256, "direction": "to_device", "pinned": False},
            "base": {"batch": 4, "kib": 65_536, "direction": "to_device", "pinned": False},
            "large": {"batch": 16, "kib": 262_144, "direction": "to_device", "pinned": False},
        },
        precisions=("fp32",),
        traits=frozenset(),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if size["direction"] not in DIRECTIONS:
            raise ValueError(f"copy: direction {size['direction']!r} is not one of {', '.join(DIRECTIONS)}")

    def build_model(self) -> nn.Module:
        """Allocate both sides and fill the source."""
        from workloads.models import operators

        shape = (self.n("batch"), self.n("kib") * 1024)
        return operators.Copies(
            shape, to_device=self.size["direction"] == "to_device", pinned=bool(self.size["pinned"])
        )

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return the numbers of the copies (B,): what is copied is the model's."""
        import numpy as np

        from workloads.inputs import batches

        return batches.shard({"x": np.arange(self.n("batch"))}, rank, world)

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Start the copies, and return where they end, (B, bytes)."""
        copied: torch.Tensor = model(len(batch["x"]))
        return copied

    def units(self, batch: Batch) -> Units:
        """Count bytes, each read once and written once."""
        rows = len(batch["x"])
        moved = rows * self.n("kib") * 1024
        return Units(rows, 0, rows, least_bytes=2.0 * moved, bytes=moved)
