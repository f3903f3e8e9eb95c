"""Convolutional autoencoder, plain or variational: training and reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

STAGES = 4
"""Convolutions that halve the side and, but for the first, double the channels."""


class Autoencoder(Workload):
    """Four convolutions down to a vector of `latent` numbers and four up again.

    With `shape.variational` the vector is drawn around the encoder's mean, by noise that comes with the
    batch; inference reconstructs from the mean.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="autoencoder",
        title="Autoencoder",
        family="generative",
        summary="Convolutional autoencoder, plain or variational: training and reconstruction",
        unit="samples",
        modes=("train", "infer"),
        traits=frozenset({"compiles", "convolution", "samples"}),
        sizes={
            "tiny": {"batch": 8, "image": 32, "width": 16, "latent": 32, "variational": False},
            "base": {"batch": 256, "image": 128, "width": 64, "latent": 256, "variational": False},
            "large": {"batch": 256, "image": 256, "width": 128, "latent": 512, "variational": False},
        },
        train={"optimizer": "adamw", "lr": 1e-3},
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("image") % (1 << STAGES):
            raise ValueError(f"autoencoder: image {self.n('image')} is not a multiple of {1 << STAGES}")

    @property
    def _variational(self) -> bool:
        return bool(self.size["variational"])

    def build_model(self) -> nn.Module:
        """Build encoder and decoder, channels last."""
        import torch

        from workloads.models import autoencoder

        net = autoencoder.Autoencoder(
            image=self.n("image"),
            widths=self._widths,
            latent=self.n("latent"),
            variational=self._variational,
        )
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    @property
    def _widths(self) -> list[int]:
        return [3, *(self.n("width") << stage for stage in range(STAGES))]

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `images` (B, 3, side, side), normally distributed, and to train variationally `noise`."""
        import numpy as np
        import torch

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        arrays = {"images": random.standard_normal((rows, 3, side, side), dtype=np.float32)}
        if self.mode == "train" and self._variational:
            arrays["noise"] = random.standard_normal((rows, self.n("latent")), dtype=np.float32)
        batch = batches.shard(arrays, rank, world)
        batch["images"] = batch["images"].contiguous(memory_format=torch.channels_last)
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean squared error, variational with the divergence from N(0, 1) a number.

        The divergence is ½·Σ(mean² + variance - ln variance - 1): Kingma and Welling 2013, appendix B.
        """
        from torch.nn import functional as F

        made, mean, log_variance = model(batch["images"], batch.get("noise"))
        error: torch.Tensor = F.mse_loss(made, batch["images"])
        if not self._variational:
            return error
        divergence: torch.Tensor = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum()
        return error + divergence / batch["images"].numel()

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the reconstruction (B, 3, side, side)."""
        made: torch.Tensor = model(batch["images"], None)[0]
        return made

    def outputs(self, batch: Batch) -> int:
        """The reconstruction."""
        return batch["images"].numel()

    def units(self, batch: Batch) -> Units:
        """Count a step; a convolution up costs what its mirror image down does."""
        rows, side = len(batch["images"]), self.n("image")
        widths, latent = self._widths, self.n("latent")
        work = 0.0
        for stage in range(STAGES):
            side //= 2
            work += 2 * flops.conv2d(rows * side * side, widths[stage], widths[stage + 1], 4)
        features = widths[-1] * side * side
        work += flops.linear(rows, features, latent * (2 if self._variational else 1))
        work += flops.linear(rows, latent, features)
        pixels = 4.0 * sum(tensor.numel() for tensor in batch.values())
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, pixels)
        return Units(rows, 0, rows, work, 2 * pixels)
