"""What the image classifiers share: batches of images, drawn or read, and the classes' loss."""

from __future__ import annotations

import abc
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from workloads.base import Batch, Units, Workload
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn


class ImageClassifier(Workload):
    """Classifies square images of `image` pixels a side, channels last in memory, into `classes`."""

    @abc.abstractmethod
    def forward_flops(self, rows: int) -> float:
        """FLOPs of one forward pass over `rows` images."""

    @cached_property
    def _files(self) -> tuple[list[Path], list[int]] | None:
        from workloads.inputs.sources import image_classes, image_files

        if self.data is None:
            return None
        files = image_files(self.data)
        return files, image_classes(self.data, files, self.n("classes"))

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `images` (B, 3, side, side), normally distributed or read from files, and `labels` (B,)."""
        import numpy as np
        import torch

        from workloads.inputs import batches
        from workloads.inputs.sources import read_image

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        if self._files is None:
            images = random.standard_normal((rows, 3, side, side), dtype=np.float32)
            labels = random.integers(0, self.n("classes"), rows)
        else:
            files, classes = self._files
            drawn = random.integers(0, len(files), rows)
            images = np.stack([read_image(files[i], side) for i in drawn])
            labels = np.array([classes[i] for i in drawn], dtype=np.int64)
        batch = batches.shard({"images": images, "labels": labels}, rank, world)
        batch["images"] = batch["images"].contiguous(memory_format=torch.channels_last)
        return batch

    def inputs(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Return the images."""
        return (batch["images"],)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the classes."""
        from torch.nn import functional as F

        return F.cross_entropy(model(*self.inputs(batch)), batch["labels"])

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return class logits (B, classes)."""
        logits: torch.Tensor = model(batch["images"])
        return logits

    def units(self, batch: Batch) -> Units:
        """Count a step; the labels are read in training alone."""
        rows = len(batch["images"])
        pixels = 4.0 * batch["images"].numel()
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * self.forward_flops(rows), pixels + 8.0 * rows)
        return Units(rows, 0, rows, self.forward_flops(rows), pixels + 4.0 * rows * self.n("classes"))
