"""DETR: objects in an image as a set, by a convolutional network and an encoder-decoder transformer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, WorkloadSpec
from workloads.catalogue.resnet import STAGES, trunk_flops
from workloads.counting import flops
from workloads.hf.base import LIBRARY, TRAITS, HuggingFace, nbytes

if TYPE_CHECKING:
    import torch
    from torch import nn

SHRINK = 32
"""Pixels a side of the image that are one position of the transformer."""

BASE = {
    "batch": 4,
    "image": 800,
    "boxes": 8,
    "classes": 91,
    "depth": 50,
    "width": 64,
    "hidden": 256,
    "inner": 2048,
    "layers": 6,
    "heads": 8,
    "queries": 100,
}


class DETR(HuggingFace):
    """DETR with ResNet-50 (`base`) and ResNet-101 (`large`) over square images with `boxes` objects each.

    Stem and first stage of the network are not trained, as published, and its batch norms are constants. The
    loss matches predictions to objects on the host: training waits for the device in every step.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="detr",
        title="DETR",
        family="vision",
        summary="Object detection by DETR as transformers has it: training with matching, and inference",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {
                "batch": 2,
                "image": 64,
                "boxes": 3,
                "classes": 8,
                "depth": 26,
                "width": 8,
                "hidden": 32,
                "inner": 64,
                "layers": 2,
                "heads": 4,
                "queries": 10,
            },
            "base": BASE,
            "large": BASE | {"depth": 101},
        },
        train={"optimizer": "adamw", "lr": 1e-4},
        traits=TRAITS - {"compiles"},
        library=LIBRARY,
    )
    config_class = "DetrConfig"
    model_class = "DetrForObjectDetection"
    block_lists = ("model.encoder.layers", "model.decoder.layers")

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        self.check_divides("hidden", "heads")
        if self.n("image") % SHRINK:
            raise ValueError(f"detr: image {self.n('image')} is not a multiple of {SHRINK}")
        if self.n("depth") not in STAGES:
            raise ValueError(f"detr: depth {self.n('depth')} is not one of {', '.join(map(str, STAGES))}")
        if self.n("boxes") > self.n("queries"):
            raise ValueError(
                f"detr: {self.n('boxes')} boxes are more than the {self.n('queries')} queries find"
            )

    def config(self) -> dict[str, Any]:
        """The library's own ResNet as backbone, so that no other package is needed."""
        width = self.n("width")
        sides = {f"{side}coder_{key}": value for side in ("en", "de") for key, value in self._side().items()}
        return sides | {
            "backbone_config": {
                "model_type": "resnet",
                "embedding_size": width,
                "hidden_sizes": [4 * width << stage for stage in range(4)],
                "depths": list(STAGES[self.n("depth")]),
                "out_features": ["stage4"],
            },
            "num_labels": self.n("classes"),
            "num_queries": self.n("queries"),
            "d_model": self.n("hidden"),
            "dropout": 0.0,
        }

    def _side(self) -> dict[str, int]:
        return {
            "layers": self.n("layers"),
            "ffn_dim": self.n("inner"),
            "attention_heads": self.n("heads"),
        }

    def build_model(self) -> nn.Module:
        """Build the model; all but stem and first stage are trained."""
        model = super().build_model()
        network = model.get_submodule("model.backbone.model.encoder")
        for stage in list(network.stages)[1:]:  # type: ignore[arg-type]
            stage.requires_grad_(requires_grad=True)
        return model

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `pixel_values` (B, 3, side, side), and in training `classes` (B, N) and `boxes` (B, N, 4).

        A box is centre and size, as shares of the image.
        """
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, side, count = self.n("batch"), self.n("image"), self.n("boxes")
        arrays: dict[str, Any] = {
            "pixel_values": random.standard_normal((rows, 3, side, side), dtype=np.float32)
        }
        if self.mode == "train":
            arrays["classes"] = random.integers(0, self.n("classes"), (rows, count))
            size = random.uniform(0.05, 0.5, (rows, count, 2))
            centre = random.uniform(size / 2, 1 - size / 2)
            arrays["boxes"] = np.concatenate((centre, size), 2).astype(np.float32)
        return batches.shard(arrays, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the loss of classes and boxes under the best matching."""
        labels = [
            {"class_labels": classes, "boxes": boxes}
            for classes, boxes in zip(batch["classes"], batch["boxes"], strict=True)
        ]
        loss: torch.Tensor = model(pixel_values=batch["pixel_values"], labels=labels).loss
        return loss

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return class logits of each query, (B, queries, classes + 1); the boxes are computed too."""
        logits: torch.Tensor = model(**batch).logits
        return logits

    def units(self, batch: Batch) -> Units:
        """Count a step; in training what is frozen costs its forward pass alone."""
        rows = len(batch["pixel_values"])
        hidden, inner, layers = self.n("hidden"), self.n("inner"), self.n("layers")
        pixels, queries = (self.n("image") // SHRINK) ** 2, self.n("queries")
        work = trunk_flops(rows, self.n("image"), self.n("depth"), self.n("width"))
        work += flops.conv2d(rows * pixels, 32 * self.n("width"), hidden, 1)
        work += flops.encoder_layers(rows * pixels, hidden, inner, layers)
        work += flops.attention(rows, pixels, pixels, hidden, layers)
        work += flops.encoder_layers(rows * queries, hidden, inner, layers)
        work += flops.attention(rows, queries, queries + pixels, hidden, layers)
        work += layers * flops.linear(rows * (queries + pixels), hidden, 2 * hidden)
        work += flops.linear(rows * queries, hidden, self.n("classes") + 1 + 2 * hidden + 4)
        if self.mode == "train":
            work = flops.TRAIN_FACTOR * work - 2 * self._frozen_flops(rows)
            return Units(rows, 0, 0, work, nbytes(batch))
        return Units(rows, 0, rows, work, nbytes(batch) + 4.0 * self.outputs(batch))

    def _frozen_flops(self, rows: int) -> float:
        """Stem and first stage."""
        width, side = self.n("width"), self.n("image") // 4
        pixels = rows * side * side
        work = flops.conv2d(4 * pixels, 3, width, 7) + flops.conv2d(pixels, width, 4 * width, 1)
        for block in range(STAGES[self.n("depth")][0]):
            work += flops.conv2d(pixels, 4 * width if block else width, width, 1)
            work += flops.conv2d(pixels, width, width, 3) + flops.conv2d(pixels, width, 4 * width, 1)
        return work

    def outputs(self, batch: Batch) -> int:
        """Classes and boxes of the queries."""
        return len(batch["pixel_values"]) * self.n("queries") * (self.n("classes") + 5)
