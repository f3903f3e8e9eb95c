"""More processes or longer ones: where the next second of measuring does most (docs/method.md, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.stats.errors import StatsError, finite, in_unit, positive


@dataclass(frozen=True, slots=True)
class Split:
    """How long to measure each process, and how many of them."""

    seconds: float
    """Measured time of each process."""
    replicas: int
    total_s: float
    """Time that all of them take, overheads included."""
    between_sd: float
    """Standard deviation of ln mean between processes, what the noise within them explains taken off."""
    within_sd: float
    """Standard deviation of ln mean of a process measured for one second, for the noise within it."""


def long_run_variance(series: npt.ArrayLike, batches: int | None = None) -> float:
    """Return n·Var(mean) of a series in order of time, by means of equal batches.

    It is length · variance of the batch means; the remainder, at the start, is left out. For independent
    values it is their variance.

    Args:
        series: Values in order of time.
        batches: ⌊√n⌋ unless given, so that batches grow with the series.

    Raises:
        StatsError: NaN, fewer than two batches, or fewer values than batches.
    """
    array = finite(series)
    count = math.isqrt(len(array)) if batches is None else batches
    if count < 2 or len(array) < count:
        raise StatsError(f"{len(array)} values make no {max(count, 2)} batches")
    length = len(array) // count
    means = array[len(array) - count * length :].reshape(count, length).mean(axis=1)
    return length * float(means.var(ddof=1))


def plan_split(
    process_means: npt.ArrayLike,
    within_variances: npt.ArrayLike,
    *,
    seconds: float,
    overhead_s: float,
    d: float,
    level: float = 0.95,
    longest_s: float = 30.0,
    cap: int = 30,
) -> Split:
    """Choose the measured time of a process and the number of processes that reach half-width `d` soonest.

    A mean of N processes of T seconds has variance (b² + w²/T)/N and takes N·(c + T). The cheapest T is
    w/b·√c (Kalibera and Jones, 2013), here between `seconds` and `longest_s`; N follows from t and `d`.

    Args:
        process_means: Means of the pilot's processes.
        within_variances: For each of them the variance of ln mean for the noise within:
            `long_run_variance(durations) / len(durations) / mean²`.
        seconds: Measured time of each process of the pilot.
        overhead_s: Time that a process takes before it measures: start, build, warm-up.
        d: Half-width wanted, in logs.
        level: Confidence of the interval.
        longest_s: Measured time of a process at most.
        cap: Processes at most.

    Raises:
        StatsError: fewer than two processes, lengths that differ, negative variances, or a time or `d` that
            is not positive.
    """
    from scipy.special import stdtrit

    in_unit("level", level)
    logs, within = np.log(positive(process_means)), finite(within_variances)
    if len(logs) < 2 or len(logs) != len(within):
        raise StatsError(f"{len(logs)} means and {len(within)} variances: need two or more, as many of each")
    if within.min() < 0 or min(seconds, overhead_s, d) <= 0 or longest_s < seconds:
        raise StatsError("need variances of 0 or more, positive times and `d`, and `longest_s` >= `seconds`")
    noise = float(within.mean()) * seconds
    between = max(0.0, float(logs.var(ddof=1)) - float(within.mean()))
    best_s = math.sqrt(noise * overhead_s / between) if between > 0 else math.inf
    chosen_s = min(max(best_s, seconds), longest_s)
    variance = between + noise / chosen_s
    t = float(stdtrit(len(logs) - 1, (1 + level) / 2))
    replicas = max(len(logs), min(cap, math.ceil(min(t * t * variance / d**2, cap))))
    return Split(chosen_s, replicas, replicas * (overhead_s + chosen_s), math.sqrt(between), math.sqrt(noise))
