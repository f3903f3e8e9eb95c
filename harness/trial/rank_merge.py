"""From what each rank of a trial saw to what its one record says: the worst of each, and who it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.config.models import Config
from harness.devices.base import Device
from harness.records.evidence import declared
from harness.records.schema import Facts
from harness.system import host
from harness.system.contention import together
from harness.timing import Measurement
from harness.trial.measure import MeasuredSpan
from harness.trial.metrics import RankRun, device_count
from harness.trial.ranks import place_of
from workloads.base import Units


@dataclass(frozen=True, slots=True)
class RankResult:
    """What one rank measured and noted, as every rank gets it."""

    run: RankRun
    facts: Facts
    """From `Device.facts()`."""
    conditions: Facts
    """Of its device, during and after the span."""
    rank_metrics: dict[str, float]
    """Values that the rank knows itself, by metric id."""
    output_error: str | None
    """Why its outputs are wrong; None where they are right."""
    compiled: str | None = None
    """What the compiler made of its model; None where it was not asked."""
    recompiles_in_span: int | None = None
    """How often the compiler worked within its span."""


def rank_result(
    job: Any,
    device: Device,
    span: MeasuredSpan,
    times: Mapping[str, float],
    output_error: str | None,
    *,
    trains: bool,
    counted: Units | None = None,
) -> RankResult:
    """Return what this rank knows after its span.

    Args:
        job: A `workloads.engine.job.Job`.
        device: Its device.
        span: Its span.
        times: Of building and the first step, by metric id.
        output_error: Why its outputs are wrong; None where they are right.
        trains: It has an optimizer.
        counted: What the span processed, where no step tells it beforehand.
    """
    from workloads.engine.job import RING

    cycle = [job.units(index) for index in range(RING)]
    known = {
        **times,
        **({"time.compile": job.compile_s} if job.compile_s is not None else {}),
        "model.parameters": job.parameters,
        "memory.weights": job.weights_bytes,
        **({"memory.optimizer": job.optimizer_bytes()} if trains else {}),
        **({"memory.kv_cache": job.kv_cache_bytes} if job.kv_cache_bytes else {}),
    }
    return RankResult(
        run=RankRun(span.timing, cycle, device.memory(), place_of(device.torch_device), job.devices, counted),
        facts=device.facts(),
        conditions=span.device_state,
        rank_metrics=known,
        output_error=output_error,
        compiled=job.compiled,
        recompiles_in_span=None if job.compiler is None else job.compiler.within,
    )


def merged(results: Sequence[RankResult]) -> Measurement:
    """Return the slowest rank's measurement, steady only if all are, with every rank's flags."""
    all_runs = [one.run.measurement for one in results]
    slowest = max(all_runs, key=lambda m: m.span_ns)
    return replace(
        slowest,
        steady=all(m.steady for m in all_runs),
        drift=any(m.drift for m in all_runs),
        flags=tuple(dict.fromkeys(flag for m in all_runs for flag in m.flags)),
        contention=together([m.contention for m in all_runs if m.contention is not None]),
    )


def rank_metrics(results: Sequence[RankResult]) -> dict[str, float]:
    """Return the largest of what the ranks know: of the slowest to build, of the fullest device."""
    return {
        key: max(one.rank_metrics.get(key, value) for one in results)
        for key, value in results[0].rank_metrics.items()
    }


def output_error(results: Sequence[RankResult]) -> str | None:
    """Return the first rank's reason for which outputs are wrong."""
    return next((one.output_error for one in results if one.output_error is not None), None)


def conditions(results: Sequence[RankResult]) -> Facts:
    """Return rank 0's conditions; what any rank's device says against the trial counts."""
    found = dict(results[0].conditions)
    for key in ("throttled", "sm_throttled", "clock_below_request", "cotenants"):
        known = [one.conditions[key] for one in results if one.conditions.get(key) is not None]
        if known:
            found[key] = max(known)
    return found


def compiled(results: Sequence[RankResult]) -> Facts:
    """Return what the compiler made of the model on the first rank that runs it, and its work within spans.

    A parameter server runs none. Recompiling on any rank counts.
    """
    running = [one for one in results if one.run.units.samples] or results
    within = [one.recompiles_in_span for one in running if one.recompiles_in_span is not None]
    recompiles = max(within, default=None)
    return declared(__name__, {"compiled": running[0].compiled, "recompiles_in_span": recompiles})


def devices(results: Sequence[RankResult]) -> int:
    """Return how many devices the ranks run on."""
    return device_count([one.run for one in results])


def per_device(results: Sequence[RankResult]) -> Units:
    """Return what a device processed within the span: an equal share of all that was."""
    share = 1 / devices(results)
    total = sum((one.run.units for one in results), Units(0))
    return replace(total, flops=total.flops * share, least_bytes=total.least_bytes * share)


def evidence(results: Sequence[RankResult], config: Config) -> Facts:
    """Return what a record says of each rank, of their skew, and whether they had a core each."""
    if len(results) == 1:
        return {}
    spans = [one.run.measurement.span_ns for one in results]
    crowded = config.device.kind == "cpu" and len(results) // config.parallel.nodes > host.usable_cores()
    found = {
        "ranks": [_of(rank, one) for rank, one in enumerate(results)],
        "rank_skew": (max(spans) - min(spans)) / max(spans),
        "ranks_beyond_cores": crowded,
    }
    return declared(__name__, found)


def _of(rank: int, one: RankResult) -> dict[str, Any]:
    m = one.run.measurement
    return {
        "rank": rank,
        "device": one.run.device,
        "threads": one.facts.get("threads"),
        "iterations": m.iterations,
        "span_ns": m.span_ns,
        "cpu_ns": m.cpu_ns,
        "steady": m.steady,
        "drift": m.drift,
        "timing_flags": list(m.flags),
        "units": {"samples": one.run.units.samples, "tokens": one.run.units.tokens},
        "memory": dict(one.run.memory),
        **{key: value for key, value in one.rank_metrics.items() if key.startswith("memory.")},
        **one.conditions,
    }
