"""What a compression or a lower precision costs: a model's error against itself in fp32, uncompressed.

Signal to quantisation noise of the outputs, agreement of the first choice, and the perplexity of the language
model that was really trained. Random weights serve for the first two where there are no trained ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from workloads.base import TRAINING, Batch, UnsupportedError, Workload
from workloads.counting.storage import parameter_count
from workloads.engine import trained
from workloads.engine.build import build
from workloads.engine.precision import autocast
from workloads.engine.setup import Chosen, Setup
from workloads.inputs.batches import to_device
from workloads.optimize import EAGER


@dataclass(frozen=True, slots=True)
class Quality:
    """The error of one model against its fp32 eager reference; what is None does not apply."""

    sqnr_db: float
    """10·log₁₀(Σ reference² / Σ (output - reference)²) over all outputs of a batch, infinite where equal."""
    agreement: float | None
    """Share of the outputs whose largest logit is the reference's."""
    perplexity: float | None
    """Of the held-out text, with the trained weights."""
    reference_perplexity: float | None
    trained: bool
    """Whether the weights were trained; they are random otherwise."""
    parameters: int
    """Of the model that was judged: how many a compression leaves may depend on the weights."""


def measure(workload: Workload, setup: Setup) -> Quality:
    """Build the model twice with the same weights, as `setup` has it and in fp32, and compare their outputs.

    Trained weights are calibrated on the text that they were trained on and judged by the rest of it.

    Raises:
        UnsupportedError: the workload has no outputs to compare, or comparing them would say nothing.
    """
    compressor = setup.compressor()
    if compressor.unjudged and (setup.precision == "fp32" or not compressor.starts_equal):
        raise UnsupportedError(compressor.unjudged)
    has_trained = trained.fits(workload)
    batch = trained.held_out(workload.n("seq")) if has_trained else workload.make_batch(0)
    workload = trained.reader(workload) if has_trained else workload
    reference = replace(setup, precision="fp32", compress=Chosen(), optimize=EAGER)
    expected, _ = _outputs(workload, reference, batch, pretrained=has_trained)
    found, parameters = _outputs(workload, setup, batch, pretrained=has_trained)
    if found.shape != expected.shape:
        raise UnsupportedError(
            f"the outputs have shape {tuple(found.shape)}, the reference's {tuple(expected.shape)}"
        )
    classes = "classes" in workload.spec.traits
    return Quality(
        sqnr_db=sqnr_db(expected, found),
        agreement=agreement(expected, found) if classes else None,
        perplexity=_perplexity(found, batch) if has_trained else None,
        reference_perplexity=_perplexity(expected, batch) if has_trained else None,
        trained=has_trained,
        parameters=parameters,
    )


def sqnr_db(reference: torch.Tensor, found: torch.Tensor) -> float:
    """Return 10·log₁₀(Σ r² / Σ (x - r)²) in decibels; infinite where nothing differs."""
    noise = ((found - reference) ** 2).sum().item()
    signal = (reference**2).sum().item()
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def agreement(reference: torch.Tensor, found: torch.Tensor) -> float:
    """Return the share of rows (…, V) whose largest element has the same place in both."""
    return (reference.argmax(-1) == found.argmax(-1)).double().mean().item()


def _perplexity(logits: torch.Tensor, batch: Batch) -> float:
    targets = batch["targets"].to(logits.device)
    return math.exp(F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item())


def _outputs(workload: Workload, setup: Setup, batch: Batch, *, pretrained: bool) -> tuple[torch.Tensor, int]:
    """Return what the model that `setup` describes makes of a batch untrained, and its parameters."""
    device = torch.device(setup.device)
    built = build(workload, setup, pretrained=pretrained)
    model = built.model.eval()
    context = autocast(device, setup.precision if workload.mode in TRAINING else "fp32")
    torch.manual_seed(workload.seed)  # some models draw numbers in every pass
    with torch.inference_mode(), context():
        outputs = workload.predict(model, to_device(batch, device, built.cast_to))
    return outputs.double(), parameter_count(model)
