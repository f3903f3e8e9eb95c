"""One step of an optimizer, alone: what updating the weights costs beside computing their gradients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn


class OptimizerStep(Workload):
    """One optimizer step over `tensors` square weights with gradients that are there already; a sample."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="optimizer",
        title="Optimizer step",
        family="micro",
        summary="one step of workload.optimizer over weights whose gradients are there already",
        unit="samples",
        modes=("train",),
        sizes={
            "tiny": {"batch": 1, "tensors": 16, "hidden": 128},
            "base": {"batch": 1, "tensors": 128, "hidden": 1024},
            "large": {"batch": 1, "tensors": 256, "hidden": 4096},
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        precisions=("fp32",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("batch") != 1:
            raise ValueError(f"optimizer: a step is one sample, batch cannot be {self.n('batch')}")

    def build_model(self) -> nn.Module:
        """Build weights, and their gradients as buffers."""
        from workloads.models import operators

        return operators.WeightsAndGradients(self.n("tensors"), self.n("hidden"))

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return one random number, which stands for the loss."""
        import numpy as np

        from workloads.inputs import batches

        drawn = batches.rng(self.seed, index).standard_normal(1, dtype=np.float32)
        return batches.shard({"x": drawn}, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Put the gradients in their place, at no cost; return a scalar with nothing behind it."""
        model.assign_gradients()  # type: ignore[operator]
        return batch["x"].sum().requires_grad_()

    def units(self, batch: Batch) -> Units:
        """Count weights written, beside weights and gradients read; the optimizer's state comes on top."""
        return Units(1, least_bytes=4.0 * self.n("tensors") * self.n("hidden") ** 2)
