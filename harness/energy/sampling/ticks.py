"""A counter's ticks: the moments at which its value was new, found by polling beside the work, never in it.

docs/method.md, section 4. A tick is known as well as the reads on both sides of it are close together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.energy.sensors.base import Reading, SensorError

POLL_S = (0.2e-3, 0.5e-3)
"""Least and longest pause between polls: fine enough for a tick, and idle enough not to be work."""
PATIENCE = 3
"""So many times the ticks that were asked for are enough, however blurred."""
SHARP_POLLS = 4
"""A tick within so many pauses is sharp; a longer one means that this process was held up."""

GRID_TICKS = 64
"""A counter's pace is taken from so many of its last ticks."""
SHARPEST_NS = 10e3
"""No tick is taken as known better than this."""


@dataclass(frozen=True, slots=True)
class Host:
    """The host's clock and its sleep; tests bring their own."""

    now_ns: Callable[[], int] = time.perf_counter_ns
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Tick:
    """A new value of a counter, and the span within which it appeared."""

    since_ns: int
    """Middle of the last read that still gave the old value."""
    reading: Reading
    """The first with the new value."""

    @property
    def at_ns(self) -> float:
        """Return the middle of the span."""
        return (self.since_ns + self.reading.mid_ns) / 2

    @property
    def u_s(self) -> float:
        """Return the standard uncertainty of `at_ns` in seconds: anywhere in span and read is as likely."""
        read_ns = self.reading.t1_ns - self.reading.t0_ns
        return math.hypot(self.reading.mid_ns - self.since_ns, read_ns) * 1e-9 / math.sqrt(12)

    @property
    def joules(self) -> float:
        """Return the counter's new value."""
        assert self.reading.energy_j is not None
        return self.reading.energy_j


def poll_s(period_s: float) -> float:
    """Return the pause between polls of a counter with this update period: a hundredth of it, in bounds."""
    return min(max(period_s / 100, POLL_S[0]), POLL_S[1])


class Grid:
    """Where a counter's ticks fall, from all of the last ones: each alone is as blurred as it was polled."""

    def __init__(self, period_s: float) -> None:
        self.period_ns = period_s * 1e9
        """Of the counter, as probed at first, then as its ticks show."""
        self._places: list[int] = []
        self._ticks: list[Tick] = []

    def add(self, tick: Tick) -> None:
        """Take one more tick, later than those before."""
        if self._ticks:
            passed = round((tick.at_ns - self._ticks[-1].at_ns) / self.period_ns)
            self._places.append(self._places[-1] + passed)
        else:
            self._places.append(0)
        self._ticks.append(tick)
        del self._places[:-GRID_TICKS], self._ticks[:-GRID_TICKS]

    def latest_ns(self) -> tuple[float, float]:
        """Return when the last tick fell, and the standard uncertainty of that: a weighted straight line.

        Ticks weigh by the inverse square of their uncertainty, so that a held-up poll hardly counts.
        """
        zero_ns = self._ticks[-1].at_ns
        weights = [1 / max(t.u_s * 1e9, SHARPEST_NS) ** 2 for t in self._ticks]
        places = [n - self._places[-1] for n in self._places]
        total = sum(weights)
        mean_n = sum(w * n for w, n in zip(weights, places, strict=True)) / total
        mean_ns = sum(w * (t.at_ns - zero_ns) for w, t in zip(weights, self._ticks, strict=True)) / total
        spread = sum(w * (n - mean_n) ** 2 for w, n in zip(weights, places, strict=True))
        if spread == 0.0:
            return zero_ns + mean_ns, math.sqrt(1 / total)
        slope_ns = (
            sum(
                w * (n - mean_n) * (t.at_ns - zero_ns - mean_ns)
                for w, n, t in zip(weights, places, self._ticks, strict=True)
            )
            / spread
        )
        self.period_ns = slope_ns
        return zero_ns + mean_ns - mean_n * slope_ns, math.sqrt(1 / total + mean_n**2 / spread)


class Watch:
    """Polls counters in turn and keeps their ticks; one that fails is not asked again."""

    def __init__(
        self, reads: Sequence[Callable[[], Reading]], pause_s: float, host: Host | None = None
    ) -> None:
        self._reads = tuple(reads)
        self._pause_s = pause_s
        self._host = host or Host()
        self._last: list[Reading | None] = [None] * len(reads)
        self.ticks: list[list[Tick]] = [[] for _ in reads]
        self.problems: list[str | None] = [None] * len(reads)
        self.read_s: list[float] = []
        """How long each read took."""

    def forget(self) -> None:
        """Drop ticks and last values, so that no tick spans a time without polling."""
        self._last = [None] * len(self._reads)
        self.ticks = [[] for _ in self._reads]

    def until(self, count: int, from_ns: Sequence[int], limit_ns: int) -> bool:
        """Poll until each working counter has `count` sharp ticks after its own `from_ns`.

        Returns right after the tick that completes them; False when `limit_ns` comes first.
        """
        while self._host.now_ns() < limit_ns:
            self._round()
            if all(self._enough(i, count, begin) for i, begin in enumerate(from_ns)):
                return True
            if self._pause_s > 0:
                self._host.sleep(self._pause_s)
        return False

    def _enough(self, i: int, count: int, from_ns: int) -> bool:
        if self.problems[i] is not None:
            return True
        found = [t for t in self.ticks[i] if t.since_ns >= from_ns]
        sharp = [t.u_s <= SHARP_POLLS * self._pause_s / math.sqrt(12) for t in found]
        # A machine that never gives sharp ticks must not hold the guard open for ever.
        return (sum(sharp) >= count and sharp[-1]) or len(found) >= PATIENCE * count

    def _round(self) -> None:
        for i, read in enumerate(self._reads):
            if self.problems[i] is not None:
                continue
            try:
                new = read()
            except SensorError as error:
                self.problems[i] = error.reason
                continue
            self.read_s.append((new.t1_ns - new.t0_ns) * 1e-9)
            old, self._last[i] = self._last[i], new
            if old is not None and old.energy_j != new.energy_j:
                self.ticks[i].append(Tick(old.mid_ns, new))
