"""Diffusion UNet: the training step of noise prediction, and one step of denoising."""

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
LEAST_NOISE, MOST_NOISE = 1e-4, 0.02
"""Variance that the first and the last step add; it grows evenly between them."""
GROUPS = 32
"""Groups of the norms, into which every width divides."""


class UNet(Workload):
    """The UNet of DDPM: for images of 32 pixels a side (`base`) and of 256 (`large`).

    `shape.widths` are the channels of each level, of which each has half the side of the one before it.
    Inference is one denoising step, of which a picture takes up to a thousand.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="unet",
        title="Diffusion UNet",
        family="generative",
        summary="Convolutional denoising diffusion (DDPM): training step and denoising step",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {
                "batch": 2,
                "image": 16,
                "channels": 3,
                "widths": "32,64",
                "blocks": 1,
                "attend": 8,
            },
            "base": {
                "batch": 128,
                "image": 32,
                "channels": 3,
                "widths": "128,256,256,256",
                "blocks": 2,
                "attend": 16,
            },
            "large": {
                "batch": 16,
                "image": 256,
                "channels": 3,
                "widths": "128,128,256,256,512,512",
                "blocks": 2,
                "attend": 16,
            },
        },
        train={"optimizer": "adamw", "lr": 2e-4},
        traits=frozenset({"compiles", "convolution", "attention", "blocks", "samples"}),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        words = str(size["widths"]).split(",")
        if not all(word.isdecimal() and int(word) and int(word) % GROUPS == 0 for word in words):
            raise ValueError(
                f"unet: widths {size['widths']!r} are not multiples of {GROUPS}, separated by commas"
            )
        self.widths = [int(word) for word in words]
        if self.n("image") % (1 << len(words) - 1):
            raise ValueError(f"unet: image {self.n('image')} does not halve {len(words) - 1} times")

    def build_model(self) -> nn.Module:
        """Build the network, channels last."""
        import torch

        from workloads.models import unet

        keys = ("image", "channels", "blocks", "attend")
        net = unet.UNet(widths=self.widths, **{key: self.n(key) for key in keys})
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `images` and `noise` (B, C, side, side), `steps` (B,), and what of them is known.

        `kept` (B,) is ᾱ, the share of the image in a noisy one's variance; for inference `images` are noisy,
        and `added` (B,) is β, the variance that the step added.
        """
        import numpy as np
        import torch

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        shape = (rows, self.n("channels"), side, side)
        steps = random.integers(1, STEPS, rows)
        added = np.linspace(LEAST_NOISE, MOST_NOISE, STEPS)
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "images": random.standard_normal(shape, dtype=np.float32),
            "noise": random.standard_normal(shape, dtype=np.float32),
            "steps": steps,
            "kept": np.cumprod(1.0 - added)[steps].astype(np.float32),
        }
        if self.mode == "infer":
            arrays["added"] = added[steps].astype(np.float32)
        batch = batches.shard(arrays, rank, world)
        for key in ("images", "noise"):
            batch[key] = batch[key].contiguous(memory_format=torch.channels_last)
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean squared error of the predicted noise (Ho et al. 2020, equation 14)."""
        from torch.nn import functional as F

        kept = batch["kept"][:, None, None, None]
        noisy = kept.sqrt() * batch["images"] + (1.0 - kept).sqrt() * batch["noise"]
        return F.mse_loss(model(noisy, batch["steps"]), batch["noise"])

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the images one step less noisy, with new noise of variance β (algorithm 2)."""
        kept, added = batch["kept"][:, None, None, None], batch["added"][:, None, None, None]
        found = model(batch["images"], batch["steps"])
        mean = (batch["images"] - added / (1.0 - kept).sqrt() * found) / (1.0 - added).sqrt()
        cleaner: torch.Tensor = mean + added.sqrt() * batch["noise"]
        return cleaner

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the noise that the model sees in the images."""
        noise: torch.Tensor = model(batch["images"], batch["steps"])
        return noise

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the residual blocks with their attention."""
        from workloads.models.unet import Stage

        return [module for module in model.modules() if isinstance(module, Stage)]

    def outputs(self, batch: Batch) -> int:
        """The cleaner images."""
        return batch["images"].numel()

    def units(self, batch: Batch) -> Units:
        """Count a step."""
        rows = len(batch["images"])
        work = rows * self._image_flops()
        moved = float(sum(tensor.numel() * tensor.element_size() for tensor in batch.values()))
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, moved)
        return Units(rows, 0, rows, work, moved + 4.0 * batch["images"].numel())

    def _image_flops(self) -> float:
        """Walk down and up as the network does, over one image."""
        widths, side, last = self.widths, self.n("image"), len(self.widths) - 1
        condition, wide, across = 4 * widths[0], widths[0], [widths[0]]
        work = flops.linear(1, condition, widths[0] + condition)
        work += 2 * flops.conv2d(side * side, self.n("channels"), wide, 3)  # the first and the last
        for level, width in enumerate(widths):
            for _ in range(self.n("blocks")):
                work += self._stage(wide, width, side, attend=side == self.n("attend"))
                wide = width
                across.append(wide)
            if level < last:
                side //= 2
                across.append(wide)
                work += flops.conv2d(side * side, wide, wide, 3)
        work += self._stage(wide, wide, side, attend=True) + self._stage(wide, wide, side, attend=False)
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(self.n("blocks") + 1):
                work += self._stage(wide + across.pop(), width, side, attend=side == self.n("attend"))
                wide = width
            if level:
                side *= 2
                work += flops.conv2d(side * side, wide, wide, 3)
        return work

    def _stage(self, fan_in: int, fan_out: int, side: int, *, attend: bool) -> float:
        pixels = side * side
        work = flops.conv2d(pixels, fan_in, fan_out, 3) + flops.conv2d(pixels, fan_out, fan_out, 3)
        work += flops.linear(1, 4 * self.widths[0], fan_out)
        if fan_in != fan_out:
            work += flops.conv2d(pixels, fan_in, fan_out, 1)
        if attend:
            work += flops.encoder_layers(pixels, fan_out, 0, 1)
            work += flops.attention(1, pixels, pixels, fan_out, 1)
        return work
