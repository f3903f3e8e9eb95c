"""The idle padding around measured work: wait, watch the counters' ticks, and say how the window is read.

docs/method.md, section 4: a guard is as long as the counter's lag and three of its update periods. The lag of
what ran before is waited out first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from harness.energy.estimation.aligned import LEAST_TICKS, longest_lag_s
from harness.energy.sampling.ticks import Grid, Host, Tick, Watch, poll_s
from harness.energy.sensors.base import Reading, SensorInfo

TICKS = LEAST_TICKS + 1
_PATIENCE_PERIODS, _PATIENCE_S = 12, 1.0
"""How much longer than planned a guard waits for ticks."""
_BLUR = 2.0
"""A tick that is known so many times worse than the best ones is left out."""
_MISFIT = 0.25
"""A counter whose ticks come at another pace than was probed, by this share, is another counter."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A moment from which parts of a counter's update period are reckoned."""

    at_ns: float
    period_ns: float
    u_s: float
    """Standard uncertainty of the moment."""


class AlignedGuards:
    """Guards that end and begin at ticks, found by polling: for counters that polling does not disturb."""

    def __init__(
        self, reads: Sequence[Callable[[], Reading]], infos: Sequence[SensorInfo], least_s: float, host: Host
    ) -> None:
        self.infos = tuple(infos)
        self._least_s = least_s
        self._host = host
        periods_s = [info.update_period_s or 0.0 for info in self.infos]
        self._slowest = max(range(len(periods_s)), key=periods_s.__getitem__)
        self._period_s = periods_s[self._slowest]
        self._grid = Grid(self._period_s)
        self._watch = Watch(reads, poll_s(self._period_s), host)
        self.before: list[list[Tick]] = []
        self.after: list[list[Tick]] = []

    def enter(self) -> list[int]:
        """Wait until what ran before is counted, then until idle power is known; return right after a tick.

        Returns:
            Which counters tick at another pace than their facts say.
        """
        self.before = self._ticks(self._host.now_ns())
        for tick in self.before[self._slowest]:
            self._grid.add(tick)
        return self._misfits()

    def anchor(self) -> Anchor:
        """Wait for a tick of the slowest counter, and say where its ticks fall, this one and those before."""
        self._watch.forget()
        now_ns = self._host.now_ns()
        patience_s = _PATIENCE_PERIODS * self._period_s
        self._watch.until(1, [now_ns] * len(self.infos), now_ns + round(patience_s * 1e9))
        for tick in self._watch.ticks[self._slowest]:
            self._grid.add(tick)
        if not self._watch.ticks[self._slowest]:
            return Anchor(self._host.now_ns(), self._period_s * 1e9, self._period_s / math.sqrt(12))
        at_ns, u_ns = self._grid.latest_ns()
        return Anchor(at_ns, self._grid.period_ns, u_ns * 1e-9)

    def leave(self, end_ns: int) -> None:
        """Wait until all of the work is counted, then until idle power is known."""
        self._watch.forget()
        self.after = self._ticks(end_ns)

    def _misfits(self) -> list[int]:
        found = []
        for i, (info, ticks) in enumerate(zip(self.infos, self.before, strict=True)):
            gaps = [b.at_ns - a.at_ns for a, b in pairwise(ticks)]
            probed_s = info.update_period_s
            # Ticks a few polls apart tell of the polls alone.
            coarse = any(t.u_s * 3 > (probed_s or 0.0) for t in ticks)
            if gaps and probed_s and not coarse and abs(median(gaps) * 1e-9 / probed_s - 1) > _MISFIT:
                found.append(i)
        return found

    def _ticks(self, begin_ns: int) -> list[list[Tick]]:
        wait_s = [
            max(longest_lag_s(info), self._least_s - 3 * (info.update_period_s or 0.0)) for info in self.infos
        ]
        from_ns = [begin_ns + round(seconds * 1e9) for seconds in wait_s]
        patience_s = max(wait_s) + (TICKS + _PATIENCE_PERIODS) * self._period_s + _PATIENCE_S
        self._watch.until(TICKS, from_ns, begin_ns + round(patience_s * 1e9))
        return [
            _sharpest([t for t in ticks if t.since_ns >= begin])
            for ticks, begin in zip(self._watch.ticks, from_ns, strict=True)
        ]


def _sharpest(ticks: list[Tick]) -> list[Tick]:
    """Leave out ticks at which this process was held up, as long as enough are left."""
    if len(ticks) <= TICKS:
        return ticks
    limit_s = sorted(t.u_s for t in ticks)[TICKS - 1] * _BLUR
    return [t for t in ticks if t.u_s <= limit_s]
