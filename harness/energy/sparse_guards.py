"""Guards for counters that polling disturbs: their ticks are found with a few reads, and then left alone.

docs/method.md, section 4: a read at the middle of the time in which a tick must fall halves that time, once a
period. Idle power comes from reads halfway between ticks, where it does not matter just when they are made.
What was read at first is then known to be of the tick before, so that one read lies between the ticks on both
sides of the work. What a read costs shows at the next tick; it is solved for and taken off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from harness.energy.estimation.aligned import LEAST_TICKS, longest_lag_s
from harness.energy.estimation.counter import counted
from harness.energy.guards import Anchor
from harness.energy.sampling.ticks import Host, Tick
from harness.energy.sensors.base import Reading, SensorError, SensorInfo

HALVINGS = 5
"""A tick is then known to a thirty-second of its period."""
SILENT_PERIODS = 2
"""Between two of the reads that idle power comes from."""
PERIOD_U = 4e-4
"""Relative standard uncertainty of a period that was taken from a dozen ticks."""
_TRIES, _LATER = 10, 0.005
"""So often a read is made again that fell where a tick may be, or before it; then so many periods later."""


class _Rest:
    """One counter in one guard. Times in ns; `since` and `until` enclose the next tick."""

    def __init__(self, read: Callable[[], Reading], info: SensorInfo, host: Host) -> None:
        self._read, self._host, self._info = read, host, info
        self.period = (info.update_period_s or 0.0) * 1e9
        self.reads = 0
        self.readings: list[Reading] = []
        """After the tick before the guard, and after some ticks at its end."""
        self.counts: list[int] = []
        """Reads made before each of these ticks."""
        self._ticks_ns: list[float] = []
        self._met: Reading | None = None
        """The counter after the next tick, where a read at the middle met it."""
        self.distinct = True
        """Every tick so far is distinct from the one before."""
        self.value = self.look()
        """The counter before the next tick; None once the sensor failed."""
        self.since = float(self.value.t0_ns if self.value is not None else host.now_ns())
        self.until = self.since + self.period
        self._gone = 0
        if self.value is not None:
            self.readings, self.counts = [self.value], [0]

    @property
    def middle(self) -> float:
        """When the next tick is due."""
        return (self.since + self.until) / 2

    @property
    def far(self) -> float:
        """The moment after the next tick that is furthest from any."""
        return self.middle + self.period / 2

    @property
    def blur_s(self) -> float:
        """Standard uncertainty of time that all ticks share: within what is left, and the period's own."""
        periods = HALVINGS + LEAST_TICKS * SILENT_PERIODS
        return (
            math.hypot((self.until - self.since) / math.sqrt(12), periods / 2 * self.period * PERIOD_U) * 1e-9
        )

    def look(self) -> Reading | None:
        """Read the counter; None where it fails, for good."""
        self.reads += 1
        try:
            return self._read()
        except SensorError:
            self.value, self.distinct = None, False
            return None

    def halve(self) -> None:
        """See whether the tick has come by the middle of its time."""
        new = self.look()
        if new is None or self.value is None or new.t1_ns >= self.since + self.period:
            return  # it failed, or so late a read may have met a later tick
        if new.energy_j == self.value.energy_j:
            self.since = min(max(self.since, new.t0_ns), self.until - 1)
        else:
            self.until = max(min(self.until, new.t1_ns), self.since + 1)
            self._met = new

    def see(self) -> None:
        """Take the value after the tick, which must be another than before it."""
        new = self._met or self._apart()
        for _ in range(_TRIES):
            if new is None or self.value is None or new.energy_j != self.value.energy_j:
                break
            self.until += _LATER * self.period  # the period is known to so much only
            self._host.sleep(max(0.0, (self.until - self._host.now_ns()) * 1e-9))
            new = self._apart()
        else:
            self.distinct = False
        self.value, self._met = new, None
        self._go_on()

    def keep(self) -> None:
        """Keep the tick with the value after it, and leave the counter alone for some periods."""
        made, new = self.reads, self._apart()
        if new is None:
            return
        self.readings.append(new)
        self.counts.append(made)
        self._ticks_ns.append(self.middle)
        self._go_on(SILENT_PERIODS)

    def ticks(self, cost_j: float, made: int) -> list[Tick]:
        """Return the ticks, the one before the guard first, less what this and `made` earlier reads cost.

        None if any tick could not be distinguished.
        """
        if not self.distinct:
            return []
        times = [round(t) for t in (self.middle - (self._gone + 1) * self.period, *self._ticks_ns)]
        shown_j = [r.energy_j for r in self.readings if r.energy_j is not None]
        true_j = [j - cost_j * (made + count) for j, count in zip(shown_j, self.counts, strict=True)]
        return [Tick(t, Reading(t, t, energy_j=j)) for t, j in zip(times, true_j, strict=True)]

    def read_cost_j(self) -> float | None:
        """Return what one read costs: while the tick was sought there were many, and later few."""
        if not self.distinct:
            return None
        first, middle, last = self.readings[0], self.readings[1], self.readings[-1]
        sought_j, rested_j = (counted(self._info, pair)[0] for pair in ((first, middle), (middle, last)))
        if sought_j is None or rested_j is None:
            return None
        sought_s = self._ticks_ns[0] - (self.middle - (self._gone + 1) * self.period)
        rested_s = self._ticks_ns[-1] - self._ticks_ns[0]
        sought_n, rested_n = self.counts[1], self.counts[-1] - self.counts[1]
        return (sought_j * rested_s - rested_j * sought_s) / (sought_n * rested_s - rested_n * sought_s)

    def _apart(self) -> Reading | None:
        """Read the counter where no tick can fall, later than thought if this process was held up."""
        for _ in range(_TRIES):
            new = self.look()
            if new is None:
                return None
            while new.t0_ns >= self.since + self.period:
                self._go_on()
            if self.until <= new.t0_ns and new.t1_ns < self.since + self.period:
                return new
            self._host.sleep(max(0.0, (self.far - self._host.now_ns()) * 1e-9))
        self.distinct = False
        return new

    def _go_on(self, periods: int = 1) -> None:
        self._gone += periods
        self.since += periods * self.period
        self.until += periods * self.period


class SparseGuards:
    """Guards that read each counter about a dozen times."""

    def __init__(
        self, reads: Sequence[Callable[[], Reading]], infos: Sequence[SensorInfo], least_s: float, host: Host
    ) -> None:
        self._sources, self._host = tuple(zip(reads, infos, strict=True)), host
        # Work after an update is counted by the next one only, and must not pass for idle power.
        self._settle_s = max(
            least_s, *(longest_lag_s(info) + (info.update_period_s or 0.0) for info in infos)
        )
        self._rests: list[list[_Rest]] = []

    def enter(self) -> list[int]:
        """Wait until what ran before is counted, then until idle power is known; misfits do not show."""
        self._rest()
        return []

    def leave(self, _end_ns: int) -> None:
        """Wait until all of the work is counted, then until idle power is known."""
        self._rest()

    def anchor(self) -> Anchor:
        """Say where the slowest counter's ticks fall, without a read."""
        rest = max(self._rests[0], key=lambda rest: rest.period)
        now_ns = self._host.now_ns()
        if not rest.distinct:
            return Anchor(now_ns, rest.period, rest.period * 1e-9 / math.sqrt(12))
        drift_s = (now_ns - rest.middle) * 1e-9 * PERIOD_U
        return Anchor(rest.middle, rest.period, math.hypot(rest.blur_s, drift_s))

    def ends(self, place: int) -> tuple[tuple[Reading, ...], ...]:
        """Return the first and the last reading of a counter in each guard, none where it failed."""
        both = (guard[place].readings for guard in self._rests)
        return tuple((r[0], r[-1]) if len(r) > 1 else () for r in both)

    def blurs_s(self, place: int) -> tuple[float, float]:
        """Return for each guard the standard uncertainty of time that a counter's ticks share."""
        before, after = (guard[place].blur_s for guard in self._rests)
        return before, after

    def ticks(self, place: int) -> tuple[list[Tick], list[Tick]]:
        """Return a counter's ticks in each guard, the one before it first, without what reads cost."""
        rests = [guard[place] for guard in self._rests]
        costs_j = [rest.read_cost_j() for rest in rests]
        known = [cost_j for cost_j in costs_j if cost_j is not None]
        if len(known) < len(costs_j):
            return [], []
        before, after = rests
        cost_j = fmean(known)
        return before.ticks(cost_j, 0), after.ticks(cost_j, before.reads)

    def _rest(self) -> None:
        self._host.sleep(self._settle_s)
        rests = [_Rest(read, info, self._host) for read, info in self._sources]
        for _ in range(HALVINGS):
            self._each(rests, lambda rest: rest.middle, _Rest.halve)
            self._each(rests, lambda rest: rest.until, _Rest.see)
        for _ in range(LEAST_TICKS):
            self._each(rests, lambda rest: rest.far, _Rest.keep)
        self._rests.append(rests)

    def _each(
        self, rests: Sequence[_Rest], due_ns: Callable[[_Rest], float], act: Callable[[_Rest], None]
    ) -> None:
        """Do something with each counter at its moment; one that failed is left alone."""
        for rest in sorted((rest for rest in rests if rest.value is not None), key=due_ns):
            self._host.sleep(max(0.0, (due_ns(rest) - self._host.now_ns()) * 1e-9))
            act(rest)
