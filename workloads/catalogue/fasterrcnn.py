"""Faster R-CNN: object detection with a feature pyramid, training and inference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.catalogue.resnet import STAGES, trunk_flops
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn

RATIOS = 3
"""Anchors at each place."""
COARSEST = 32
"""Stride of the last stage, by which the image divides."""

BASE = {
    "batch": 4,
    "image": 800,
    "classes": 91,
    "depth": 50,
    "width": 64,
    "channels": 256,
    "hidden": 1024,
    "proposals": 1000,
    "sampled": 512,
    "objects": 8,
    "detections": 100,
}


class FasterRCNN(Workload):
    """Faster R-CNN with a ResNet-50 (`base`) or ResNet-101 (`large`) pyramid over square images.

    The numbers of proposals and of true objects are fixed, so that every step is the same work. It differs
    from the published one in that nothing suppresses overlapping boxes and nothing is sampled at random.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="fasterrcnn",
        title="Faster R-CNN",
        family="vision",
        summary="Object detection by proposals over a feature pyramid: training and inference",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {
                "batch": 2,
                "image": 128,
                "classes": 5,
                "depth": 26,
                "width": 16,
                "channels": 32,
                "hidden": 128,
                "proposals": 24,
                "sampled": 16,
                "objects": 4,
                "detections": 8,
            },
            "base": BASE,
            "large": BASE | {"batch": 16, "image": 1024, "depth": 101},
        },
        train={"optimizer": "sgd", "lr": 0.01},
        traits=frozenset({"compiles", "convolution", "blocks", "samples"}),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("depth") not in STAGES:
            raise ValueError(
                f"fasterrcnn: depth {self.n('depth')} is not one of {', '.join(map(str, STAGES))}"
            )
        if self.n("image") % COARSEST:
            raise ValueError(f"fasterrcnn: image {self.n('image')} is not a multiple of {COARSEST}")
        taken = "sampled" if mode == "train" else "proposals"
        if self.n(taken) > self._places * RATIOS:
            raise ValueError(f"fasterrcnn: {taken} {self.n(taken)} are more than there are anchors")
        if mode == "train" and self.n("sampled") <= self.n("objects"):
            raise ValueError(f"fasterrcnn: sampled {self.n('sampled')} leave no place beside the objects")
        if self.n("classes") < 2:
            raise ValueError("fasterrcnn: classes 1 is the background alone")
        if mode == "infer" and self.n("detections") > self.n("proposals") * (self.n("classes") - 1):
            raise ValueError(f"fasterrcnn: detections {self.n('detections')} are more than there can be")

    @property
    def _sides(self) -> list[int]:
        """Side of each level of the pyramid."""
        return [-(-self.n("image") // stride) for stride in (4, 8, 16, 32, 64)]

    @property
    def _places(self) -> int:
        return sum(side * side for side in self._sides)

    def build_model(self) -> nn.Module:
        """Build the detector, channels last."""
        import torch

        from workloads.models import fasterrcnn

        keys = ("width", "channels", "hidden", "classes", "image")
        net = fasterrcnn.FasterRCNN(stages=STAGES[self.n("depth")], **{key: self.n(key) for key in keys})
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `images` (B, 3, side, side); in training true `boxes` (B, G, 4) and `labels` (B, G) too."""
        import numpy as np
        import torch

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "images": random.standard_normal((rows, 3, side, side), dtype=np.float32)
        }
        if self.mode == "train":
            shape = (rows, self.n("objects"), 2)
            extent = side * random.uniform(0.1, 0.6, shape)
            corner = random.uniform(0.0, 1.0, shape) * (side - extent)
            arrays["boxes"] = np.concatenate((corner, corner + extent), -1).astype(np.float32)
            arrays["labels"] = random.integers(1, self.n("classes"), shape[:2])
        batch = batches.shard(arrays, rank, world)
        batch["images"] = batch["images"].contiguous(memory_format=torch.channels_last)
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the sum of four losses: of the anchors' scores and boxes, and of the proposals'."""
        from workloads.models.fasterrcnn import detection_loss

        found = model(batch["images"], self.n("sampled"), batch["boxes"])
        return detection_loss(found, batch["boxes"], batch["labels"])

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return box, score and class of each image's best detections, (B, detections, 6)."""
        from workloads.models.fasterrcnn import detections

        found = model(batch["images"], self.n("proposals"))
        return detections(found, self.n("detections"), self.n("image"))

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the anchors' scores (B, N), whose order no other score changes."""
        scores: torch.Tensor = model(batch["images"], self.n("proposals")).scores
        return scores

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the backbone's bottleneck blocks."""
        return [block for stage in model.backbone.stages for block in stage]  # type: ignore[union-attr]

    def units(self, batch: Batch) -> Units:
        """Count a step: backbone, pyramid, anchors' scores and boxes, and the head of each proposal."""
        rows, channels, hidden = len(batch["images"]), self.n("channels"), self.n("hidden")
        work = trunk_flops(rows, self.n("image"), self.n("depth"), self.n("width"))
        for stage, side in enumerate(self._sides[:4]):
            pixels = rows * side * side
            work += flops.conv2d(pixels, 4 * self.n("width") << stage, channels, 1)
            work += flops.conv2d(pixels, channels, channels, 3)
        places = rows * self._places
        work += flops.conv2d(places, channels, channels, 3) + flops.linear(places, channels, 5 * RATIOS)
        pooled = rows * self.n("sampled" if self.mode == "train" else "proposals")
        work += flops.linear(pooled, channels * 49, hidden) + flops.linear(pooled, hidden, hidden)
        work += flops.linear(pooled, hidden, 5 * self.n("classes"))
        moved = float(sum(tensor.numel() * tensor.element_size() for tensor in batch.values()))
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, moved)
        return Units(rows, 0, rows, work, moved + 24.0 * rows * self.n("detections"))
