"""What the power traces beside a counter say: whether they agree with it, are whole, and how high they go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from harness.energy.estimation.estimate import Estimate, Span, gap_limit_s, gauge_energy, peak_power_w
from harness.energy.sampling.trace import Samples

DISAGREE, CONFLICT = 0.02, 0.05
"""Relative difference of counter and power integral that is flagged, and that voids (docs/method.md, 4)."""


def cross_check(estimate: Estimate, gauge: Samples, span: Span) -> list[str]:
    """Compare with the integral of instant power, where both have a number and an uncertainty."""
    other = gauge_energy(gauge.sensor, gauge, span)
    if estimate.joules is None or estimate.u_joules is None or other.joules is None or other.u_joules is None:
        return []
    apart = abs(estimate.joules - other.joules)
    noise = 2 * math.hypot(estimate.u_joules, other.u_joules)
    if apart <= max(DISAGREE * estimate.joules, noise):
        return []
    return ["sensors_conflict" if apart > max(CONFLICT * estimate.joules, noise) else "sensors_disagree"]


def trace_flags(samples: Samples, span: Span) -> list[str]:
    """Return what is wrong with a trace over the span: rows lost, reads that failed, gaps."""
    flags = ["trace_truncated"] if samples.lost else []
    inside = samples.between(*span)
    if inside.failed:
        flags.append("sensor_error")
    if inside.doubted:
        flags.append("implausible")
    reported = [t0 for t0, status in zip(inside.t0_ns, inside.status, strict=True) if status == 0]
    times = [span[0], *reported, span[1]]
    if max(b - a for a, b in pairwise(times)) * 1e-9 > gap_limit_s(samples):
        flags.append("sample_gap")
    return flags


def incomplete(buffered: Samples | None, span: Span) -> str | None:
    """Return why the driver's own samples do not show all of the span; None where they do."""
    if buffered is None:
        return "buffered power samples were not taken: that needs the native sampler"
    return gauge_energy(buffered.sensor, buffered, span).reason


def largest_w(traces: Sequence[Samples | None], span: Span) -> float | None:
    """Return the largest power in any of the traces; None where one of them failed, or none reports power."""
    distinct = {id(samples): samples for samples in traces if samples is not None}
    peaks = [peak_power_w(samples, span) for samples in distinct.values()]
    known = [watts for watts in peaks if watts is not None]
    return max(known) if known and len(known) == len(peaks) else None
