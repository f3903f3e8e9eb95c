"""Collectives: what ranks exchange when a model is spread over them, alone and over any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

BUS_SHARE: Mapping[str, Callable[[int], float]] = {
    "all_reduce": lambda ranks: 2 * (ranks - 1) / ranks,
    "all_gather": lambda ranks: (ranks - 1) / ranks,
    "reduce_scatter": lambda ranks: (ranks - 1) / ranks,
    "all_to_all": lambda ranks: (ranks - 1) / ranks,
    "broadcast": lambda _ranks: 1.0,
}
"""What every rank must send at least, as a share of the whole tensor (docs/method.md, section 1)."""


class Collectives(Workload):
    """One collective a step over tensors of `kib` KiB, with the strategy `group`; a sample is one.

    The size is that of the whole tensor: what `all_gather` makes, and what the others start from. Its bytes
    are those that each rank must send at least, so that `throughput.bytes` is the bandwidth of the bus. The
    numbers are integers: sums of sums wrap, and stay the same work for ever.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="collectives",
        title="Collective",
        family="micro",
        summary=f"shape.kind ({', '.join(BUS_SHARE)}) over shape.kib KiB, between parallel.ranks ranks",
        unit="samples",
        modes=("infer",),
        sizes={
            "tiny": {"batch": 1, "kib": 256, "kind": "all_reduce"},
            "base": {"batch": 1, "kib": 65_536, "kind": "all_reduce"},
            "large": {"batch": 1, "kib": 1_048_576, "kind": "all_reduce"},
        },
        precisions=("fp32",),
        traits=frozenset({"ranks"}),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("batch") != 1:
            raise ValueError(f"collectives: a step is one sample, batch cannot be {self.n('batch')}")
        if size["kind"] not in BUS_SHARE:
            raise ValueError(f"collectives: kind {size['kind']!r} is not one of {', '.join(BUS_SHARE)}")

    def build_model(self) -> nn.Module:
        """Build the exchange."""
        from workloads.models import collectives

        return collectives.Exchange(str(self.size["kind"]))

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return what this rank begins with, int32 `x` (1, N): its part where it is gathered."""
        import numpy as np
        import torch

        numbers = self.n("kib") * 256 // world * (1 if self.size["kind"] == "all_gather" else world)
        random = np.random.default_rng([self.seed, index, rank])
        return {"x": torch.from_numpy(random.integers(-(1 << 31), 1 << 31, (1, numbers), dtype=np.int32))}

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return what this rank ends with, (1, M)."""
        result: torch.Tensor = model(batch["x"])
        return result

    def units(self, batch: Batch) -> Units:
        """Count what each rank must send at least."""
        import torch.distributed as dist

        ranks = dist.get_world_size()
        whole = batch["x"].numel() * 4 * (ranks if self.size["kind"] == "all_gather" else 1)
        return Units(1, 0, 1, bytes=round(BUS_SHARE[str(self.size["kind"])](ranks) * whole))
