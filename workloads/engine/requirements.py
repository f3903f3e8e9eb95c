"""What a workload needs: counted on the `meta` device, without memory, a device or work."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from workloads.base import TRAINING, GenerativeWorkload, Workload
from workloads.counting.storage import nbytes, parameter_count, weights_bytes
from workloads.engine.inference import rehearsed_cache_bytes
from workloads.engine.precision import weight_dtype

STATES = {"sgd": 1, "adamw": 2}
"""Numbers that an optimizer keeps of each weight: momentum, or two moments."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Of the whole, uncompressed model; activations and what the libraries hold come on top."""

    parameters: int
    flops: float
    """Model FLOPs of a step."""
    weights_bytes: int
    training_bytes: int
    """Gradients and the optimizer's state."""
    kv_cache_bytes: int

    @property
    def least_bytes(self) -> int:
        """The least memory that a step can do with."""
        return self.weights_bytes + self.training_bytes + self.kv_cache_bytes


def needs(workload: Workload, *, precision: str = "fp32", optimizer: str | None = None) -> Needs:
    """Count a workload's needs in a precision; `optimizer` is that of a training mode."""
    training = workload.mode in TRAINING
    dtype = weight_dtype(precision, training=training) or torch.float32
    with torch.device("meta"):
        model = workload.build_model().to(dtype)
    trained = sum(nbytes(weight) for weight in model.parameters() if weight.requires_grad)
    batch, cache = workload.make_batch(0), 0
    if not training and isinstance(workload, GenerativeWorkload):
        more = {"prefill": 0, "decode": 1}.get(workload.mode, int(workload.size["new_tokens"]) - 1)
        positions, beams = batch["tokens"].shape[1] + more, int(workload.size.get("beams", 1))
        cache = rehearsed_cache_bytes(workload, dtype, batch, positions, beams)
    return Needs(
        parameters=parameter_count(model),
        flops=workload.units(batch).flops,
        weights_bytes=weights_bytes(model),
        training_bytes=(1 + STATES[str(optimizer)]) * trained if training else 0,
        kv_cache_bytes=cache,
    )
