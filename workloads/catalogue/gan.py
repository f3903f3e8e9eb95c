"""A generative adversarial network: one step updates generator and discriminator; inference makes images."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

SMALLEST = 4
"""Side of what the generator begins with."""


class GAN(Workload):
    """DCGAN for images of 64 pixels a side (`base`) and, twice as wide, of 128 (`large`).

    A training step adds the losses of both networks, neither of which reaches the other's weights, and
    updates both at once; as published they take turns.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="gan",
        title="Generative adversarial network",
        family="generative",
        summary="DCGAN: a step of generator and discriminator, and images from noise",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {"batch": 8, "image": 32, "width": 16, "latent": 64},
            "base": {"batch": 128, "image": 64, "width": 64, "latent": 100},
            "large": {"batch": 128, "image": 128, "width": 128, "latent": 100},
        },
        train={"optimizer": "adamw", "lr": 2e-4},
        traits=frozenset({"compiles", "convolution", "batch_norm", "samples"}),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        doublings = (self.n("image") // SMALLEST).bit_length() - 1
        if self.n("image") != SMALLEST << doublings or doublings < 2:
            raise ValueError(f"gan: image {self.n('image')} is not one of 16, 32, 64, …")
        self._widths = [3, *(self.n("width") << layer for layer in range(doublings))]

    def build_model(self) -> nn.Module:
        """Build both networks, channels last."""
        import torch

        from workloads.models import gan

        net = gan.GAN(widths=self._widths, latent=self.n("latent"))
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `noise` (B, L), normally distributed, and to train `images` (B, 3, side, side)."""
        import numpy as np
        import torch

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        arrays = {"noise": random.standard_normal((rows, self.n("latent")), dtype=np.float32)}
        if self.mode == "train":
            arrays["images"] = random.standard_normal((rows, 3, side, side), dtype=np.float32)
        batch = batches.shard(arrays, rank, world)
        if self.mode == "train":
            batch["images"] = batch["images"].contiguous(memory_format=torch.channels_last)
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return both losses: the discriminator's, and that of a generator which wants to pass for real."""
        from torch.nn import functional as F

        found = model(batch["noise"], batch["images"])
        # softplus(-x) is minus the log of the chance of being real, softplus(x) that of being made.
        told = F.softplus(-found.real.float()) + F.softplus(found.made.float())
        return (told + F.softplus(-found.passed.float())).mean()

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return images (B, 3, side, side)."""
        made: torch.Tensor = model(batch["noise"])
        return made

    def outputs(self, batch: Batch) -> int:
        """The images."""
        return len(batch["noise"]) * 3 * self.n("image") ** 2

    def units(self, batch: Batch) -> Units:
        """Count a step; of three passes of the discriminator, one has no gradients for its weights."""
        rows, side = len(batch["noise"]), SMALLEST
        judge = flops.conv2d(rows, self._widths[-1], 1, SMALLEST)
        make = flops.conv2d(rows, self.n("latent"), self._widths[-1], SMALLEST)
        for inner, outer in pairwise(reversed(self._widths)):
            work = flops.conv2d(rows * side * side, outer, inner, SMALLEST)
            judge, make, side = judge + work, make + work, 2 * side
        moved = float(sum(tensor.numel() * tensor.element_size() for tensor in batch.values()))
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * (make + 2 * judge) + 2 * judge, moved)
        return Units(rows, 0, rows, make, moved + 4.0 * self.outputs(batch))
