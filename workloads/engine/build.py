"""Build a model as a setup describes it: from its weights to what is ready to be spread and compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workloads import optimize
from workloads.base import TRAINING, Workload
from workloads.compress.base import Compressor
from workloads.engine import trained
from workloads.engine.precision import set_matmul, train_in_fp8, weight_dtype
from workloads.engine.setup import Setup
from workloads.kernels import library
from workloads.kernels.linear import FEW
from workloads.kernels.pages import on_huge_pages
from workloads.kernels.use import use_kernels


@dataclass(frozen=True, slots=True)
class Built:
    """A model on its device, compressed, in its precision and optimised."""

    model: nn.Module
    cast_to: torch.dtype | None
    """The format of weights and inputs; None is fp32."""
    compressor: Compressor
    """The one that made this model, and knows what it did to it."""
    evidence: dict[str, Any]
    """What the compressor reports of its work."""


def build(workload: Workload, setup: Setup, *, pretrained: bool = False) -> Built:
    """Build the workload's model with its seed, compress it and cast it.

    Args:
        workload: In the trial's mode.
        setup: Of the trial.
        pretrained: Take the trained weights, which are there where `trained.fits`.

    Raises:
        UnsupportedError: the precision or the compressor cannot work here.
    """
    training, compressor = workload.mode in TRAINING, setup.compressor()
    device = torch.device(setup.device)
    set_matmul(device, setup.precision)
    _seed(workload.seed, device)
    with torch.device(device):
        model = workload.build_model()
    if pretrained:
        trained.load(model)
    if setup.on_weights is not None:
        setup.on_weights(model)
    model.train() if training else model.eval().requires_grad_(requires_grad=False)
    cast_to = weight_dtype(setup.precision, training=training)
    if cast_to is not None and compressor.works_after_cast:
        model.to(cast_to)
    model, evidence = compressor.compress(workload, model)
    if cast_to is not None and not compressor.works_after_cast:
        model.to(cast_to)
    if setup.precision == "fp8":
        train_in_fp8(model)
    optimize.apply(setup.optimize, workload, model)
    if device.type == "cpu" and not training:
        evidence = evidence | {"products": _products(model, setup, cast_to or torch.float32)}
    return Built(model, cast_to, compressor, evidence)


def _seed(seed: int, device: torch.device) -> None:
    """Seed the generators that a model on this device draws from."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` takes longer: it seeds all kinds
    else:
        torch.manual_seed(seed)


def _products(model: nn.Module, setup: Setup, dtype: torch.dtype) -> str:
    """Let our own kernels multiply few rows where they can; return whose do, or why they do not."""
    if setup.optimize.compile is not None:
        return "torch, compiled"
    if setup.ranks.world > 1:
        return "torch: the layers are spread over ranks"
    if (reason := library.missing()) is not None:
        return f"torch: {reason}"
    count = use_kernels(model, attention=setup.optimize.attention == "auto")
    where = ", huge pages asked for weights" if on_huge_pages(model) else ""
    few = FEW.get(dtype, 0)
    return f"joulemark C in {count} layers for up to {few} rows, torch for more{where}"
