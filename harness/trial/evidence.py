"""What a record keeps of how a span was timed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness import timing
from harness.config.models import Config
from harness.records.evidence import declared
from harness.records.schema import Facts

_SERIES = 200
"""Points kept of a series in the record; whole traces go to files beside it."""


def timing_settings(config: Config) -> timing.TimingSettings:
    """Return the timing part of the configuration."""
    m = config.measure
    return timing.TimingSettings(
        seconds=m.seconds,
        min_iterations=m.min_iterations,
        warmup_s=m.warmup_s,
        warmup_iterations=m.warmup_iterations,
        warmup_cap_s=m.warmup_cap_s,
        steady_window_s=m.steady_window_s,
        steady_tolerance=m.steady_tolerance,
        target=m.target(config.device.hardware),
    )


def timing_evidence(m: timing.Measurement) -> Facts:
    """Return what the validity rules judge of a measurement."""
    found = {
        "steady": m.steady,
        "drift": m.drift,
        "timing_flags": list(m.flags),
        "iterations": m.iterations,
        "warmup_iterations": m.warmup_iterations,
        "span_ns": m.span_ns,
        "host_ns": m.host_ns,
        "tick_ns": m.tick_ns,
        "clock": m.clock,
        "steal_ratio": m.steal_ratio,
        "involuntary_switches": m.involuntary_switches,
        **({} if m.contention is None else {"contention": m.contention.evidence()}),
        "clean_share": None if m.stretches is None else m.stretches.clean_share(team=_is_team(m)),
    }
    return declared(__name__, found)


def _is_team(m: timing.Measurement) -> bool:
    """Tell whether several threads worked and their delays are known, for the filter that judges them."""
    watched = m.stretches is not None and m.stretches.waited_ns is not None
    return watched and m.contention is not None and (m.contention.threads or 0) > 1


def all_zero(m: timing.Measurement, losses: Sequence[float], beside: Iterable[str] = ()) -> Facts:
    """Return the evidence `all_zero`: metrics of durations or losses that were zero throughout, and more.

    Args:
        m: Of the span.
        losses: Of training, empty where there are none.
        beside: Ids of further such metrics, see `harness.trial.span_energy.zero_metrics`.
    """
    durations = ("iteration.mean", "iteration.mean.clean", "latency.p50", "latency.p90", "latency.p99")
    found = [
        *(durations if not m.durations_ns.any() else ()),
        *(("loss.first", "loss.last") if losses and not any(losses) else ()),
        *beside,
    ]
    return declared(__name__, {"all_zero": found})


def thin(values: Any) -> list[float]:
    """Return at most `_SERIES` finite values, each the mean of consecutive ones: no part is left out."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    if len(array) <= _SERIES:
        return list(map(float, array))
    # As `array_split` cuts them: the first parts are one longer.
    sizes = np.full(_SERIES, len(array) // _SERIES)
    sizes[: len(array) % _SERIES] += 1
    starts = np.cumsum(sizes) - sizes
    return list(map(float, np.add.reduceat(array, starts) / sizes))
