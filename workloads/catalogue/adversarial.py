"""Adversarial training: every batch is first changed so that the classifier errs, then learnt from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Units, WorkloadSpec
from workloads.catalogue.resnet import ResNet

if TYPE_CHECKING:
    import torch
    from torch import nn

BOUND, STRIDE = 8 / 255, 2 / 255
"""How far a number of an image may be changed, and by how much in a step of the attack."""


class Adversarial(ResNet):
    """ResNet-50 (`base`) and ResNet-152 (`large`) against projected gradient descent of `steps` steps.

    Training learns from the attacked images (Madry et al. 2018, equation 2.1); inference classifies them,
    which measures robustness. The attack starts at random and knows the labels. Its forward passes are in
    the model's own mode: in training they too go into the statistics of batch norm.
    """

    spec: ClassVar[WorkloadSpec] = replace(
        ResNet.spec,
        name="adversarial",
        title="Adversarial training",
        summary="A residual network attacked by projected gradients: training on it, and classification",
        sizes={
            name: {**size, "batch": batch, "steps": steps}
            for (name, size), batch, steps in zip(
                ResNet.spec.sizes.items(), (4, 64, 64), (2, 7, 7), strict=True
            )
        },
        train={"optimizer": "sgd", "lr": 0.01},
        # The attack's gradients are none of the training's: no strategy may add them up.
        traits=ResNet.spec.traits - {"samples"} | {"differentiates"},
    )

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return the classifier's batch and where the attack starts, `change` (B, 3, side, side)."""
        import numpy as np
        import torch

        from workloads.inputs import batches

        batch = super().make_batch(index, rank=rank, world=world)
        random = np.random.default_rng([self.seed, index, 1])
        shape = (self.n("batch"), 3, self.n("image"), self.n("image"))
        change = random.uniform(-BOUND, BOUND, shape).astype(np.float32)
        start = batches.shard({"change": change}, rank, world)["change"]
        return {**batch, "change": start.contiguous(memory_format=torch.channels_last)}

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy over the attacked images."""
        return super().loss(model, self._attacked(model, batch))

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return class logits (B, classes) of the attacked images."""
        return super().infer(model, self._attacked(model, batch))

    def _attacked(self, model: nn.Module, batch: Batch) -> Batch:
        from workloads.models.attack import projected_gradients

        found = projected_gradients(
            model, batch["images"], batch["labels"], batch["change"], self.n("steps"), BOUND, STRIDE
        )
        return {"images": found, "labels": batch["labels"]}

    def units(self, batch: Batch) -> Units:
        """Count a step: each of the attack's gradients is a forward pass and one backward to the pixels."""
        units = super().units(batch)
        rows, pixels = len(batch["images"]), 4.0 * batch["change"].numel()
        attack = self.n("steps") * 2 * self.forward_flops(rows)
        labels = 0.0 if self.mode == "train" else 8.0 * rows  # inference reads them here
        return replace(units, flops=units.flops + attack, least_bytes=units.least_bytes + pixels + labels)
