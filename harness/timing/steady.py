"""When a process has become steady, and whether it stayed so (docs/method.md, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.devices.base import Device
from harness.devices.timeline import Timeline
from harness.timing.clocks import Clock
from harness.timing.loop import Step, run_samples
from harness.timing.peers import ALONE, Peers

BATCHES = 10
LEAST_BATCHES = 3
"""Of a window whose iterations are longer than a tenth of it."""
BATCH_SAMPLES = 4096
"""Samples that one batch records; more iterations are timed in groups."""

STALL_NS = 100_000_000
STALLED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Level:
    """The level of a stretch of work: the mean of the logs of its batch medians, and its standard error."""

    log_mean: float
    log_se: float

    @classmethod
    def of(cls, batch_medians: npt.ArrayLike) -> Level:
        """Make the level of at least two batch medians, all positive."""
        # Of ten numbers; an audit asks often, and numpy would take several times longer.
        logs = [math.log(median) for median in np.asarray(batch_medians, np.float64).tolist()]
        count, mean = len(logs), math.fsum(logs) / len(logs)
        return cls(mean, math.sqrt(math.fsum((log - mean) ** 2 for log in logs) / (count - 1) / count))

    def moved_from(self, other: Level, tolerance: float) -> bool:
        """Return whether |ln(this / other)| is at least `tolerance` + 2 standard errors of the difference."""
        error = math.hypot(self.log_se, other.log_se)
        return abs(self.log_mean - other.log_mean) >= tolerance + 2 * error


@dataclass(frozen=True, slots=True)
class Warmup:
    """How the warm-up went."""

    iterations: int
    duration_ns: int
    steady: bool
    period_ns: float
    """Median time of an iteration in the last window."""
    marks: tuple[str, ...]
    """The marks that steps passed."""
    windows: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Batch medians in ns of the last window but one, and of the last, by which `steady` was judged."""


def warm_up(
    step: Step,
    *,
    device: Device,
    clock: Clock,
    first: int,
    warmup_s: float,
    warmup_iterations: int,
    cap_s: float,
    window_s: float,
    tolerance: float,
    peers: Peers = ALONE,
) -> Warmup:
    """Run steps until two windows in a row have the same level, or until the cap.

    First at least `warmup_s` and `warmup_iterations` (and always one) pass, one by one. Then each window has
    ten batches of a tenth of `window_s`; where an iteration is longer, as many as fit, and at least three.
    The cap counts from the end of the first iteration, which may compile. With several ranks, rank 0's times
    decide for all.
    """
    timeline = device.timeline(BATCH_SAMPLES, clock.now_ns)
    begin_ns = clock.now_ns()
    _, period_ns = _batch(step, device, timeline, first, 1)
    done = 1
    cap_begin_ns = clock.now_ns()

    def since_s(ns: int) -> float:
        return (clock.now_ns() - ns) / 1e9

    while peers.agree(done < warmup_iterations or since_s(begin_ns) < warmup_s):
        count, period_ns = _batch(step, device, timeline, first + done, 1)
        done += count

    before: Level | None = None
    windows: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    steady = False
    while peers.agree(not steady and since_s(cap_begin_ns) < cap_s):
        window_ns = clock.now_ns()
        medians: list[float] = []
        while peers.agree(
            len(medians) < LEAST_BATCHES or (len(medians) < BATCHES and since_s(window_ns) < window_s)
        ):
            iterations = peers.agree(max(1, int(window_s * 1e9 / BATCHES / period_ns)))
            count, median_ns = _batch(step, device, timeline, first + done, iterations)
            medians.append(median_ns)
            done += count
        period_ns = float(np.median(medians))
        level = Level.of(medians)
        steady = before is not None and not level.moved_from(before, tolerance)
        before, windows = level, (windows[1], tuple(medians))
    took_ns = clock.now_ns() - begin_ns
    return Warmup(done, took_ns, steady, peers.agree(period_ns), timeline.names, windows)


def moved(before: npt.ArrayLike, last: npt.ArrayLike, tolerance: float) -> bool:
    """Return whether one window's level moved from another's, each given by its batch medians."""
    return Level.of(last).moved_from(Level.of(before), tolerance)


def drifted(durations_ns: npt.NDArray[np.int64], target: float) -> bool | None:
    """Return whether the first and last third differ by over d/2 + 2 standard errors, d = ln(1 + target).

    None when there are fewer than nine durations: too few to say.
    """
    third = len(durations_ns) // 3
    if third < LEAST_BATCHES:
        return None
    first, last = (_level(part) for part in (durations_ns[:third], durations_ns[-third:]))
    return last.moved_from(first, math.log1p(target) / 2)


def stalled(durations_ns: npt.NDArray[np.int64]) -> bool:
    """Return whether nothing went on for over a twentieth of a span, as where a signal stopped its process.

    A duration stalls by what it has over the median, where that is over the median again and over 0.1 s.
    """
    if not len(durations_ns):
        return False
    median = np.median(durations_ns)
    over = durations_ns - median
    return float(over[over > max(median, STALL_NS)].sum()) > STALLED_SHARE * float(durations_ns.sum())


def _level(durations_ns: npt.NDArray[np.int64]) -> Level:
    # As np.array_split: the first batches are one longer where the parts are not equal.
    size, longer = divmod(len(durations_ns), count := min(BATCHES, len(durations_ns)))
    parts = np.split(durations_ns, [longer * (size + 1)])
    batches = [part.reshape(n, -1) for part, n in zip(parts, (longer, count - longer), strict=True) if n]
    return Level.of(np.concatenate([_medians_ns(batch) for batch in batches]))


def _batch(step: Step, device: Device, timeline: Timeline, first: int, iterations: int) -> tuple[int, float]:
    """Run about `iterations` steps; return how many, and the median time of one in ns."""
    group = math.ceil(iterations / BATCH_SAMPLES)
    samples = iterations // group
    run_samples(step, timeline, first=first, samples=samples, group=group)
    device.synchronize()
    return samples * group, float(_medians_ns(timeline.durations_ns()[None])[0]) / group


def _medians_ns(batches_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the median of each row, at least 1 ns."""
    # What `np.median` returns, in a third of its time: an audit asks often.
    ordered, count = np.sort(batches_ns, axis=1), batches_ns.shape[1]
    medians = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
    # A clock coarser than the work shows zeros; their mean still gives its size; no level is below 1 ns.
    sized: npt.NDArray[np.float64] = np.where(medians == 0, batches_ns.mean(axis=1), medians)
    return np.maximum(sized, 1.0)
