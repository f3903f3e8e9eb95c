"""Make a workload ready to serve: its model, an engine with as many rows as memory allows, their facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workloads.base import GenerativeWorkload, UnsupportedError, Workload
from workloads.counting.storage import parameter_count, weights_bytes
from workloads.engine import trained
from workloads.engine.build import build
from workloads.engine.continuous_batching import Batching, Engine, Sampling
from workloads.engine.inference import rehearsed_cache_bytes
from workloads.engine.setup import Setup
from workloads.engine.slots import Slots, slots_of


@dataclass(frozen=True, slots=True)
class Serving:
    """How an engine is to serve."""

    batching: Batching
    slots: int
    """Most answers at once."""
    context: int
    """Positions of a row."""
    chunk: int
    queue: int
    cache_bytes: int | None = None
    """What the cache may take; None is what all slots take."""


@dataclass(frozen=True, slots=True)
class PreparedEngine:
    """An engine with its model, and what a record says of both."""

    engine: Engine
    slots: Slots
    model: nn.Module
    parameters: int
    weights_bytes: int
    evidence: dict[str, Any]

    def check(self) -> dict[str, Any]:
        """Judge the last step: `output_ok`, and `output_reason` where its logits are not finite.

        Before the first request there is nothing to judge: `output_ok` is None.
        """
        if (logits := self.engine.logits) is None:
            return {"output_ok": None, "output_reason": None}
        reason = None if bool(torch.isfinite(logits).all()) else "the output is not finite"
        return {"output_ok": reason is None, "output_reason": reason}


def prepare_engine(workload: Workload, setup: Setup, how: Serving) -> PreparedEngine:
    """Build the model and its engine on the device.

    Raises:
        UnsupportedError: the workload has no such mode or rows, or the memory holds not one row.
    """
    if workload.mode != "serve" or not isinstance(workload, GenerativeWorkload):
        raise UnsupportedError(f"{workload.spec.name} has no mode {workload.mode} that an engine serves")
    built, strategy = build(workload, setup, pretrained=trained.fits(workload)), setup.strategy()
    parameters = parameter_count(built.model)
    model = strategy.place(workload, built.model)
    dtype = built.cast_to or torch.float32
    row_bytes = rehearsed_cache_bytes(workload, dtype, {"tokens": _one_token()}, how.context)
    rows = _rows(how, row_bytes // strategy.cache_parts)
    slots = slots_of(workload, model, rows, how.context)
    engine = Engine(
        slots,
        batching=how.batching,
        chunk=how.chunk,
        queue=how.queue,
        sampling=Sampling(setup.temperature, setup.top_k, workload.seed),
    )
    return PreparedEngine(
        engine,
        slots,
        model,
        parameters,
        weights_bytes(model),
        {**built.evidence, **strategy.evidence(), "slots": rows, "context": how.context},
    )


def _one_token() -> torch.Tensor:
    return torch.zeros((1, 1), dtype=torch.int64)


def _rows(how: Serving, row_bytes: int) -> int:
    """Return how many rows there are: what was asked for, or what fits beside the row that reads prompts."""
    if how.cache_bytes is None:
        return how.slots
    fit = how.cache_bytes // row_bytes - 1
    if fit < 1:
        raise UnsupportedError(
            f"serve.cache_gib holds {how.cache_bytes} bytes; one row of {how.context} positions, and one in"
            f" which prompts are read, take {2 * row_bytes}"
        )
    return min(how.slots, fit)
