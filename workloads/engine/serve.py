"""Make a workload ready to serve: its model, engines with as many rows as memory allows, their facts."""

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
    """What an engine's cache may take; None is what all slots take."""
    engines: int = 1
    """Equal ones over one model, each with a cache of its own."""


@dataclass(frozen=True, slots=True)
class PreparedEngines:
    """Engines with their model, and what a record says of them."""

    engines: tuple[Engine, ...]
    slots: tuple[Slots, ...]
    """Of each."""
    model: nn.Module
    parameters: int
    weights_bytes: int
    evidence: dict[str, Any]

    @property
    def logits(self) -> list[torch.Tensor]:
        """The last ones of each engine that made any."""
        return [engine.logits for engine in self.engines if engine.logits is not None]

    @property
    def cache_bytes(self) -> int:
        """Of all caches."""
        return sum(slots.nbytes for slots in self.slots)

    def check(self) -> dict[str, Any]:
        """Judge the last steps: `output_ok`, and `output_reason` where their logits are not finite.

        Before the first request there is nothing to judge: `output_ok` is None.
        """
        if not (made := self.logits):
            return {"output_ok": None, "output_reason": None}
        reason = None if all(bool(torch.isfinite(one).all()) for one in made) else "the output is not finite"
        return {"output_ok": reason is None, "output_reason": reason}


def prepare_engines(workload: Workload, setup: Setup, how: Serving) -> PreparedEngines:
    """Build the model and its engines on the device.

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
    slots = tuple(slots_of(workload, model, rows, how.context) for _ in range(how.engines))
    sampling = Sampling(setup.temperature, setup.top_k, workload.seed)
    return PreparedEngines(
        tuple(
            Engine(each, batching=how.batching, chunk=how.chunk, queue=how.queue, sampling=sampling)
            for each in slots
        ),
        slots,
        model,
        parameters,
        weights_bytes(model),
        {**built.evidence, **strategy.evidence(), "slots": rows, "context": how.context},
    )


def _one_token() -> torch.Tensor:
    return torch.zeros((1, 1), dtype=torch.int64)


def _rows(how: Serving, row_bytes: int) -> int:
    """Return how many rows there are: what was asked for, or what fits."""
    if how.cache_bytes is None:
        return how.slots
    fit = how.cache_bytes // row_bytes
    if fit < 1:
        raise UnsupportedError(
            f"serve.cache_gib holds {how.cache_bytes} bytes; one row of {how.context} positions takes "
            f"{row_bytes}"
        )
    return min(how.slots, fit)
