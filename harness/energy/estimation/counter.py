"""What a counter's readings say: joules over wraps, resets, standing still. Pure functions of readings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from harness.energy.sensors.base import Reading, SensorInfo
from harness.energy.sensors.plausible import ceiling_w

UPDATE_S = 0.1
"""Update period that is reckoned with where none is known: so much energy may come at once."""
BURST, NEIGHBOURS = 3.0, 5
"""Over a wrap a counter counts at most so many times faster than in so many other steps, or was reset."""
DISTINCT = 3
"""Kinds of increments that reveal a counter's step although one of them is the step itself."""
STUCK_TICKS = 5
"""A counter that stands still for so many of its update periods is stuck."""
REASONS = {
    "sensor_error": "the sensor failed during the span",
    "counter_reset": "the energy counter was set back during the span",
    "counter_jumped": "the energy counter jumped by more than the device can draw",
    "wrap_unknown": "the reads are too far apart to tell how often the energy counter began anew",
    "sensor_stuck": "the energy counter stood still at the end of the span",
    "counter_still": "the energy counter did not move during the span",
    "sample_gap": "a gap in the power samples",
    "implausible": "a gap in the power samples: the meter answered with what cannot be, e.g. 0 W",
}


def counted(info: SensorInfo, readings: Iterable[Reading]) -> tuple[float | None, str]:
    """Return the joules counted from the first to the last reading, over wraps; or None and the flag why."""
    total = 0.0
    wrapped_w, others_w = [], []
    for a, b in pairwise(readings):
        if a.energy_j is None or b.energy_j is None:
            return None, "sensor_error"
        step = b.energy_j - a.energy_j
        seconds = (b.t1_ns - a.t0_ns) * 1e-9 + (info.update_period_s or UPDATE_S)
        most_j = ceiling_w(info.scope, info.rated_w) * seconds
        if info.wrap_j is not None and most_j >= info.wrap_j:
            return None, "wrap_unknown"
        if step < 0:
            if info.wrap_j is None or step + info.wrap_j > most_j:
                return None, "counter_reset"
            step += info.wrap_j
            wrapped_w.append(step / seconds)
        elif step > most_j:
            return None, "counter_jumped"
        else:
            others_w.append(step / seconds)
        total += step
    # However far apart the reads are: a counter that wraps goes on at the pace of its neighbours.
    if wrapped_w and len(others_w) >= NEIGHBOURS and max(wrapped_w) > BURST * max(others_w) > 0:
        return None, "counter_reset"
    return (total, "") if total > 0 else (None, "counter_still")


def quantum_j(info: SensorInfo, values: Sequence[float]) -> float | None:
    """Return the largest step of which all seen increments are multiples; None without an increment.

    Increments that are all alike, or multiples of one of them, may be so by chance: then the values too must
    be multiples, since a counter counts from 0.

    Args:
        info: The counter, with the step in which it is told; it may count in coarser ones.
        values: Of the counter in joules, in order of time; where they fall, it wrapped or was reset.
    """
    if info.quantum is None:
        return None
    steps = {round((b - a) / info.quantum) for a, b in pairwise(values) if b > a}
    if not steps:
        return None
    shared = math.gcd(*steps)
    if len(steps) < DISTINCT and shared == min(steps):
        shared = math.gcd(shared, *(round(value / info.quantum) for value in values))
    return shared * info.quantum


def new_values(readings: Iterable[Reading]) -> list[Reading]:
    """Return the readings at which a counter's value was new."""
    return [b for a, b in pairwise(readings) if b.energy_j != a.energy_j]


def stuck(info: SensorInfo, readings: Sequence[Reading]) -> tuple[bool, tuple[str, ...]]:
    """Say whether a counter stood still to the end, which leaves no number, and the flag for any stand-still.

    A counter whose update period is unknown cannot be judged.
    """
    if info.update_period_s is None:
        return False, ()
    longest_s, last_s = _still_s(readings)
    limit_s = STUCK_TICKS * info.update_period_s
    return last_s > limit_s, ("sensor_stuck",) if longest_s > limit_s else ()


def _still_s(readings: Sequence[Reading]) -> tuple[float, float]:
    """Return how long a counter was seen to stand still: at most, and at the end, in seconds.

    From the first to the last reading of one value: a gap in the samples is not taken for standing still.
    """
    longest = run_s = 0.0
    first = readings[0]
    for r in readings:
        if r.energy_j != first.energy_j:
            first = r
        run_s = (r.mid_ns - first.mid_ns) * 1e-9
        longest = max(longest, run_s)
    return longest, run_s
