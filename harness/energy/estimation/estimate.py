"""Energy of one span from one sensor's readings: pure functions of readings, with their uncertainty.

Equations: docs/method.md, section 4. Times are nanoseconds of one monotonic clock; a span is (start, end).
What cannot be said is None with a reason; a failed, reset or stuck sensor gives no number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median, stdev

from harness.energy.estimation.counter import REASONS, counted, new_values, stuck
from harness.energy.sampling.trace import Samples
from harness.energy.sensors.base import DEFAULT_GAIN_UNCERTAINTY, Reading, SensorInfo

Span = tuple[int, int]
PERIOD_U = 1e-3
"""Relative uncertainty of a probed update period."""
READ_U_S = 500e-6
"""How well the moment is known at which a counter was read."""
GAP_S, GAP_STEPS = 0.25, 4
"""Samples further apart than this time, and than so many of their usual distances, are a gap."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Power outside the work, measured in the guards, and its standard uncertainty."""

    watts: float
    u_watts: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Energy of a span. `u_joules` is repeatability (standard); `u_absolute_joules` holds the gain too."""

    method: str
    joules: float | None = None
    u_joules: float | None = None
    u_absolute_joules: float | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None
    coverage: float | None = None
    """Share of the span that lies between readings; what lies outside is not in `joules`."""


def update_period_s(samples: Samples) -> float | None:
    """Return a counter's update period as its samples show it, or None with fewer than three ticks.

    A counter faster than the sampler gives the sampling period, which bounds it from above.
    """
    gaps = [b.mid_ns - a.mid_ns for a, b in pairwise(new_values(samples.readings()))]
    return median(gaps) * 1e-9 if len(gaps) >= 2 else None


def counter_energy(
    info: SensorInfo,
    readings: Sequence[Reading],
    span: Span,
    idle: Idle | None = None,
    pause_s: float = 0.0,
) -> Estimate:
    """Estimate by the difference of a counter between the first and last reading, which enclose the span.

    With idle power on both sides known, the excess outside the span is taken off; without it the power at the
    edges lies anywhere between 0 and the span's own, and the uncertainty says so.

    Args:
        info: the sensor; without its update period there is a number but no uncertainty.
        readings: in order of time, the two edges and every sample between them.
        span: of the work.
        idle: idle power, when the readings at both edges were taken in idle guards.
        pause_s: idle time within the span, taken off where idle power is known.
    """
    method = "counter_guarded" if idle is not None else "counter_unaligned"
    if idle is None:
        readings = _enclosing(readings, span)
    raw_j, problem = counted(info, readings)
    if raw_j is None:
        return Estimate(method, flags=(problem,), reason=REASONS[problem])
    span_s = (span[1] - span[0]) * 1e-9 - (pause_s if idle is not None else 0.0)
    outer_s = (readings[-1].mid_ns - readings[0].mid_ns) * 1e-9
    excess_s = max(0.0, outer_s - span_s)
    period_s = info.update_period_s
    lasting, still = stuck(info, readings)
    if lasting:
        return Estimate(method, flags=still, reason=REASONS["sensor_stuck"])
    flags = list(still)
    mean_w = raw_j / outer_s
    quantum_var = (info.quantum or 0.0) ** 2 / 6
    if idle is not None:
        joules = raw_j - idle.watts * excess_s
        edge_var = 0.0 if period_s is None else (_edges_u_s(outer_s, period_s) * idle.watts) ** 2
        outside_var = (excess_s * idle.u_watts) ** 2
    else:
        flags.append("edges_unaligned")
        joules = raw_j - mean_w * excess_s / 2
        edge_var = (period_s or 0.0) ** 2 * mean_w**2 * (1 / 12 + 1 / 4)
        outside_var = (mean_w * excess_s) ** 2 / 12
    if period_s is None:
        return Estimate(method, joules, flags=(*flags, "update_period_unknown"), coverage=1.0)
    u_joules = math.sqrt(edge_var + outside_var + quantum_var)
    if u_joules > abs(joules) / 2:
        flags.append("below_resolution")
    return with_gain(info, Estimate(method, joules, u_joules, flags=tuple(flags), coverage=1.0))


def gauge_energy(info: SensorInfo, samples: Samples, span: Span) -> Estimate:
    """Estimate by holding each power sample until the next one: `E = sum of P_i * (t_(i+1) - t_i)`.

    A gap in the samples is not filled in. The edges are uncertain by the gauge's update period and averaging
    window, like a counter's.
    """
    method = "gauge_hold"
    if samples.between(*span).failed:
        return Estimate(method, flags=("sensor_error",), reason=REASONS["sensor_error"])
    if any(b < a for a, b in pairwise(samples.t0_ns)):
        return Estimate(method, flags=("sensor_error",), reason="the sensor's own times went back")
    held = _held(list(samples.readings()), span)
    if not held:
        reason = REASONS["implausible"] if samples.doubted else "no power sample covers the start of the span"
        return Estimate(method, flags=("sample_gap",), reason=reason)
    doubted = samples.between(*span).doubted
    if max(seconds for _, seconds in held) > gap_limit_s(samples):
        reason = REASONS["implausible" if doubted else "sample_gap"]
        return Estimate(method, flags=("sample_gap",), reason=reason)
    joules = sum(watts * seconds for watts, seconds in held)
    span_s = (span[1] - span[0]) * 1e-9
    mean_w = joules / span_s
    smear_s = _renewed_s(info, samples) + (info.averaging_window_s or 0.0)
    values = [watts for watts, _ in held]
    changes = 1 + sum(a != b for a, b in pairwise(values))
    spread_var = (stdev(values) ** 2 / changes) * span_s**2 if len(values) > 1 else 0.0
    edge_var = smear_s**2 * mean_w**2 * (1 / 12 + 1 / 4)
    flags = ["edges_unaligned"]
    if info.kind != "instant":
        flags.append("averaged_gauge")
    u_joules = math.sqrt(edge_var + spread_var)
    if u_joules > abs(joules) / 2:
        flags.append("below_resolution")
    return with_gain(info, Estimate(method, joules, u_joules, flags=tuple(flags), coverage=1.0))


def _renewed_s(info: SensorInfo, samples: Samples) -> float:
    """Return how often a gauge is renewed: its update period, else as its changes show, else the reads'."""
    if info.update_period_s is not None:
        return info.update_period_s
    readings = list(samples.readings())
    changes = [b.mid_ns for a, b in pairwise(readings) if a.power_w != b.power_w]
    steps = [b - a for a, b in pairwise(changes if len(changes) > 1 else [r.mid_ns for r in readings])]
    return median(steps) * 1e-9 if steps else 0.0


def idle_power(samples: Samples, span: Span) -> Idle | None:
    """Return the power in an idle span: between a counter's first and last tick in it, or a gauge's mean.

    None when fewer than two ticks or three gauge samples fall into the span.
    """
    readings = list(samples.between(*span).readings())
    if samples.sensor.kind != "counter":
        watts = [r.power_w for r in readings if r.power_w is not None]
        return Idle(fmean(watts), stdev(watts) / math.sqrt(len(watts))) if len(watts) > 2 else None
    ticks = new_values(readings)
    if len(ticks) < 2:
        return None
    joules, _ = counted(samples.sensor, [ticks[0], ticks[-1]])
    if joules is None:
        return None
    seconds = (ticks[-1].mid_ns - ticks[0].mid_ns) * 1e-9
    watts_mean = joules / seconds
    poll_s = median(b.mid_ns - a.mid_ns for a, b in pairwise(readings)) * 1e-9
    u_joules = math.sqrt((samples.sensor.quantum or 0.0) ** 2 / 6 + (watts_mean * poll_s) ** 2 / 6)
    return Idle(watts_mean, u_joules / seconds)


def rest_power(info: SensorInfo, rest: Sequence[Reading]) -> Idle | None:
    """Return the power between two reads in an idle guard; each may lie anywhere in the update period."""
    joules, _ = counted(info, rest)
    if joules is None or info.update_period_s is None:
        return None
    seconds = (rest[-1].mid_ns - rest[0].mid_ns) * 1e-9
    watts = joules / seconds
    edges_j = math.hypot(
        watts * _edges_u_s(seconds, info.update_period_s), (info.quantum or 0.0) / math.sqrt(6)
    )
    return Idle(watts, edges_j / seconds)


def _edges_u_s(seconds: float, period_s: float) -> float:
    """Return how far the time that a counter covers may differ from the time between two reads of it.

    A counter covers whole update periods. Over T = (n + f) periods it covers n or n + 1 of them, the latter
    with probability f: `u = U*sqrt(f*(1 - f))`, which is 0 for reads a whole number of periods apart, and
    `U/sqrt(6)` over all f. What is not known of the period and of the moments of reading spreads f.
    """
    periods = seconds / period_s
    spread = periods * PERIOD_U + READ_U_S / period_s
    if spread >= 0.5:
        return period_s / math.sqrt(6)
    nearby = (periods % 1, (periods + spread) % 1, (periods - spread) % 1)
    if any(abs(f - 0.5) < spread for f in nearby):
        return period_s / 2
    return period_s * math.sqrt(max(f * (1 - f) for f in nearby))


def peak_power_w(samples: Samples, span: Span, resolution_s: float = 0.1) -> float | None:
    """Return the largest power in the span: a gauge's largest sample, a counter's steepest `resolution_s`."""
    inside = samples.between(*span)
    if any(inside.status):
        return None
    if samples.sensor.kind != "counter":
        return max(inside.values(), default=None)
    ticks = new_values(inside.readings())
    peak: float | None = None
    start = 0
    for end, last in enumerate(ticks):
        while start + 1 < end and (last.mid_ns - ticks[start + 1].mid_ns) * 1e-9 >= resolution_s:
            start += 1
        seconds = (last.mid_ns - ticks[start].mid_ns) * 1e-9
        if seconds >= resolution_s:
            joules, _ = counted(samples.sensor, [ticks[start], last])
            if joules is not None:
                peak = max(peak or 0.0, joules / seconds)
    return peak


def gap_limit_s(samples: Samples) -> float:
    """Return the longest time between two reads of this trace that is no gap."""
    steps = [b - a for a, b in pairwise(samples.t0_ns) if b > a]
    return max(GAP_S, GAP_STEPS * median(steps) * 1e-9) if steps else GAP_S


def _enclosing(readings: Sequence[Reading], span: Span) -> Sequence[Reading]:
    """Return the readings from the last before the span to the first after it."""
    before = [i for i, r in enumerate(readings) if r.t1_ns <= span[0]]
    after = [i for i, r in enumerate(readings) if r.t0_ns >= span[1]]
    return readings[before[-1] if before else 0 : after[0] + 1 if after else len(readings)]


def _held(readings: Sequence[Reading], span: Span) -> list[tuple[float, float]]:
    """Return (watts, seconds held) over the span; empty when no sample precedes its start."""
    before = [i for i, r in enumerate(readings) if r.mid_ns <= span[0]]
    if not before:
        return []
    inside = [r for r in readings[before[-1] :] if r.mid_ns < span[1]]
    edges = [span[0], *(r.mid_ns for r in inside[1:]), span[1]]
    return [((r.power_w or 0.0), (b - a) * 1e-9) for r, (a, b) in zip(inside, pairwise(edges), strict=True)]


def with_gain(info: SensorInfo, e: Estimate) -> Estimate:
    """Return the estimate with its absolute uncertainty: repeatability and gain in squares."""
    assert e.joules is not None
    assert e.u_joules is not None
    gain = info.gain_uncertainty
    flags = e.flags if gain is not None else (*e.flags, "gain_uncalibrated")
    gain = DEFAULT_GAIN_UNCERTAINTY if gain is None else gain
    return replace(e, u_absolute_joules=math.hypot(e.u_joules, gain * e.joules), flags=flags)
