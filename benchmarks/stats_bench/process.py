"""One simulated process under the harness's own rule of steady state and stopping.

`measured` runs the real `harness.timing.measure_steps` on a scripted clock; `fast` does the same arithmetic
on the array of iteration times, some twenty times faster. Every run of the bench first shows that the two
agree to the nanosecond.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.stats_bench.world import Floats, Series
from harness.devices.cpu import CpuDevice
from harness.timing import TimingSettings, measure_steps
from harness.timing.steady import BATCHES, LEAST_BATCHES, Level

SETTINGS = TimingSettings(seconds=5.0, target=0.01)
"""`conf/measure/default` on an accelerator."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one process showed."""

    mean_s: float
    """Span / iterations."""
    took_s: float
    """Warm-up and span."""
    warmup_iterations: int
    iterations: int
    steady: bool


class ScriptedClock:
    """A host clock that moves only when an iteration says so."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        """Return scripted time."""
        return self.now

    def cpu_ns(self) -> int:
        """Return scripted time: the thread never leaves its CPU."""
        return self.now

    def watching(self) -> AbstractContextManager[None]:
        """Watch nothing: one thread is simulated."""
        return nullcontext()

    def waited_ns(self) -> None:
        """Return None: no team is simulated."""

    def involuntary(self) -> int:
        """Return no switch."""
        return 0


def measured(series: Series, settings: TimingSettings = SETTINGS) -> Run:
    """Measure a process by the harness's own loop."""
    clock = ScriptedClock()

    def step(index: int, _mark: object) -> None:
        while index >= len(series.durations_ns):
            series.extend()
        clock.now += int(series.durations_ns[index])

    found = measure_steps(step, device=CpuDevice(), settings=settings, clock=clock)
    return Run(
        found.span_ns / found.iterations / 1e9,
        (found.warmup_ns + found.span_ns) / 1e9,
        found.warmup_iterations,
        found.iterations,
        found.steady,
    )


def fast(series: Series, settings: TimingSettings = SETTINGS) -> Run:
    """Measure a process on the array of its iterations; these are long enough to be timed one by one."""
    ends = Ends(series)
    done = max(settings.warmup_iterations, ends.first_at(round(settings.warmup_s * 1e9)), 1)
    period_ns = float(series.durations_ns[done - 1])
    cap_ns = int(ends[1]) + round(settings.warmup_cap_s * 1e9)
    window_ns = round(settings.steady_window_s * 1e9)
    before: Level | None = None
    steady = False
    while not steady and ends[done] < cap_ns:
        size = max(1, int(settings.steady_window_s * 1e9 / BATCHES / period_ns))
        edges = done + size * np.arange(1, BATCHES + 1)
        ends.need(int(edges[-1]))
        within = int((ends.at(edges[LEAST_BATCHES - 1 : -1]) < ends[done] + window_ns).sum())
        batches = LEAST_BATCHES + within
        ordered = np.sort(series.durations_ns[done : done + batches * size].reshape(batches, size), axis=1)
        medians = _middle(ordered)
        done += batches * size
        period_ns = float(_middle(np.sort(medians)))
        level = Level.of(medians)
        steady = before is not None and not level.moved_from(before, settings.steady_tolerance)
        before = level
    begin = int(ends[done])
    last = max(ends.first_at(begin + round(settings.seconds * 1e9)), done + settings.min_iterations)
    span_ns = int(ends[last]) - begin
    return Run(span_ns / (last - done) / 1e9, (begin + span_ns) / 1e9, done, last - done, steady)


class Ends:
    """When each iteration of a series ended, in ns from its start; index 0 is the start."""

    def __init__(self, series: Series) -> None:
        self._series = series
        series.extend()
        self._ends = np.concatenate(([0], np.cumsum(series.durations_ns)))

    def need(self, index: int) -> None:
        """Draw iterations up to this one."""
        while index >= len(self._ends):
            self._series.extend()
            self._ends = np.concatenate(([0], np.cumsum(self._series.durations_ns)))

    def __getitem__(self, index: int) -> int:
        self.need(index)
        return int(self._ends[index])

    def at(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return ends that were asked for before."""
        return self._ends[indices]

    def first_at(self, ns: int) -> int:
        """Return the first index whose end is at or after `ns`."""
        while self._ends[-1] < ns:
            self.need(len(self._ends))
        return int(np.searchsorted(self._ends, ns))


def _middle(ordered: npt.NDArray[Any]) -> Floats:
    """Return medians of rows that are in order; `np.median` takes ten times as long."""
    n = ordered.shape[-1]
    middle: Floats = (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2
    return middle
