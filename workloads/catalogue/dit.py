"""Diffusion transformer: the training step of noise prediction, and one step of denoising."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

STEPS = 1000
"""Steps of the noise's schedule, a cosine."""
WAVES = 256
"""Sines and cosines that give the step to the model."""


class DiT(Workload):
    """DiT-B/2 (`base`) and DiT-XL/2 (`large`) over latents of `image` places a side and four channels.

    Inference is one denoising step of one network pass, without guidance; a picture takes tens of them.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="dit",
        title="Diffusion transformer",
        family="generative",
        summary="Class-conditional diffusion transformer (DiT): training step and denoising step",
        unit="samples",
        modes=("train", "infer"),
        traits=frozenset({"compiles", "linear", "narrows", "attention", "blocks", "samples"}),
        sizes={
            "tiny": {
                "batch": 4,
                "image": 16,
                "channels": 4,
                "patch": 2,
                "hidden": 128,
                "layers": 3,
                "heads": 4,
                "classes": 10,
            },
            "base": {
                "batch": 64,
                "image": 32,
                "channels": 4,
                "patch": 2,
                "hidden": 768,
                "layers": 12,
                "heads": 12,
                "classes": 1000,
            },
            "large": {
                "batch": 64,
                "image": 32,
                "channels": 4,
                "patch": 2,
                "hidden": 1152,
                "layers": 28,
                "heads": 16,
                "classes": 1000,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-4},
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        for whole, part in (("image", "patch"), ("hidden", "heads")):
            if self.n(whole) % self.n(part):
                raise ValueError(f"dit: {whole} {self.n(whole)} does not divide by {part} {self.n(part)}")
        if self.n("hidden") % 4:
            raise ValueError(f"dit: hidden {self.n('hidden')} is not a multiple of 4, as positions need")

    def build_model(self) -> nn.Module:
        """Build the transformer."""
        from workloads.models import dit

        keys = ("image", "channels", "patch", "hidden", "layers", "heads", "classes")
        return dit.DiT(**{key: self.n(key) for key in keys}, waves=WAVES)

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `images` (B, C, side, side), `steps` (B,), `labels` (B,), `kept` (B,), in training `noise`.

        `kept` is ᾱ = cos²(π/2 · (step + ½) / 1000), the share of the image in a noisy one's variance; for
        inference `images` are noisy, and `next` (B,) is the ᾱ after the step.
        """
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        shape = (rows, self.n("channels"), side, side)
        steps = random.integers(1, STEPS, rows)
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "images": random.standard_normal(shape, dtype=np.float32),
            "steps": steps,
            "labels": random.integers(0, self.n("classes"), rows),
            "kept": _kept(steps),
        }
        if self.mode == "train":
            arrays["noise"] = random.standard_normal(shape, dtype=np.float32)
        else:
            arrays["next"] = _kept(steps - 1)
        return batches.shard(arrays, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean squared error of the predicted noise."""
        from torch.nn import functional as F

        kept = batch["kept"][:, None, None, None]
        noisy = kept.sqrt() * batch["images"] + (1.0 - kept).sqrt() * batch["noise"]
        predicted, _ = model(noisy, batch["steps"], batch["labels"])
        return F.mse_loss(predicted, batch["noise"])

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the images one step less noisy, without new noise (DDIM, equation 12)."""
        kept, after = batch["kept"][:, None, None, None], batch["next"][:, None, None, None]
        noise, _ = model(batch["images"], batch["steps"], batch["labels"])
        clean = (batch["images"] - (1.0 - kept).sqrt() * noise) / kept.sqrt()
        cleaner: torch.Tensor = after.sqrt() * clean + (1.0 - after).sqrt() * noise
        return cleaner

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the noise that the model sees in the images."""
        noise: torch.Tensor = model(batch["images"], batch["steps"], batch["labels"])[0]
        return noise

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the transformer blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def outputs(self, batch: Batch) -> int:
        """The cleaner images."""
        return batch["images"].numel()

    def unread_weights(self, batch: Batch) -> int:
        """The embeddings of classes that do not occur."""
        from workloads.inputs.batches import distinct

        return (self.n("classes") + 1 - distinct(batch["labels"])) * self.n("hidden")

    def units(self, batch: Batch) -> Units:
        """Count a step: patches in and out, blocks, and the modulation of each, once per image."""
        rows, hidden, layers = len(batch["images"]), self.n("hidden"), self.n("layers")
        patches = (self.n("image") // self.n("patch")) ** 2
        area = self.n("patch") ** 2 * self.n("channels")
        work = flops.encoder_layers(rows * patches, hidden, 4 * hidden, layers)
        work += flops.attention(rows, patches, patches, hidden, layers)
        work += flops.linear(rows * patches, area + 2 * area, hidden)
        work += flops.linear(rows, hidden, WAVES + hidden + (6 * layers + 2) * hidden)
        moved = float(sum(tensor.numel() * tensor.element_size() for tensor in batch.values()))
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, moved)
        return Units(rows, 0, rows, work, moved + 4.0 * batch["images"].numel())


def _kept(steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    share: np.ndarray[Any, Any] = np.cos(np.pi / 2 * (steps + 0.5) / STEPS) ** 2
    return share.astype(np.float32)
