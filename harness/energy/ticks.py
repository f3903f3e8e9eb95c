"""A counter's ticks: the moments at which its value was new, found by polling beside the work, never in it.

docs/method.md, section 4. A tick is known as well as the reads on both sides of it are close together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.energy.base import Reading, SensorError

POLL_S = (0.2e-3, 0.5e-3)
"""Least and longest pause between polls: fine enough for a tick, and idle enough not to be work."""
PATIENCE = 3
"""So many times the ticks that were asked for are enough, however blurred."""
SHARP_POLLS = 4
"""A tick within so many pauses is sharp; a longer one means that this process was held up."""


@dataclass(frozen=True, slots=True)
class Host:
    """The host's clock and its sleep; tests bring their own."""

    now_ns: Callable[[], int] = time.perf_counter_ns
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Tick:
    """A new value of a counter, and the span within which it appeared."""

    since_ns: int
    """Begin of the last read that still gave the old value."""
    reading: Reading
    """The first with the new value."""

    @property
    def at_ns(self) -> float:
        """Return the middle of the span."""
        return (self.since_ns + self.reading.t1_ns) / 2

    @property
    def u_s(self) -> float:
        """Return the standard uncertainty of `at_ns` in seconds: anywhere in the span is as likely."""
        return (self.reading.t1_ns - self.since_ns) * 1e-9 / math.sqrt(12)

    @property
    def joules(self) -> float:
        """Return the counter's new value."""
        assert self.reading.energy_j is not None
        return self.reading.energy_j


def poll_s(period_s: float) -> float:
    """Return the pause between polls of a counter with this update period: a hundredth of it, in bounds."""
    return min(max(period_s / 100, POLL_S[0]), POLL_S[1])


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
                self.ticks[i].append(Tick(old.t0_ns, new))
