"""GPT and ResNet written in JAX as workloads: beside the torch models they show what the adapter costs.

Weights, batches and counts are those of the torch workloads; `jax_loss` takes the place of the traced model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from workloads.base import WorkloadSpec
from workloads.catalogue.gpt import GPT
from workloads.catalogue.resnet import BASIC, STAGES, ResNet

JaxLoss = Callable[[Any, Any, Any], tuple[Any, Any]]
"""Of weights, carried tensors and a batch: the loss, and the carried tensors after it."""


def _spec(of: WorkloadSpec, written: str) -> WorkloadSpec:
    return replace(
        of,
        name=f"{of.name}_jax",
        title=f"{of.title} in JAX",
        summary=f"{written} by hand in JAX, with the same weights and batches: what the adapter costs",
        modes=("train",),
        precisions=("fp32",),
        traits=frozenset({"samples", "jax"}),
    )


class GPTInJax(GPT):
    """GPT, its loss written in JAX."""

    spec: ClassVar[WorkloadSpec] = _spec(GPT.spec, "GPT")

    def jax_loss(self) -> JaxLoss:
        """Return the loss as a pure function."""
        from workloads.jax import gpt

        return partial(gpt.loss, layers=self.n("layers"), heads=self.n("heads"))


class ResNetInJax(ResNet):
    """ResNet, its loss written in JAX."""

    spec: ClassVar[WorkloadSpec] = _spec(ResNet.spec, "ResNet")

    def jax_loss(self) -> JaxLoss:
        """Return the loss as a pure function."""
        from workloads.jax import resnet

        return partial(resnet.loss, stages=(STAGES | BASIC)[self.n("depth")])
