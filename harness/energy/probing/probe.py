"""Learn what a counter is like by looking at it: done once per device and driver (docs/method.md, section 4).

Without work: update period, quantum, read cost, and whether polling disturbs it. With a load to switch on and
off also the lag, and whether the counter samples only part of each update period. Cached by `probe_cache`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median, stdev

from harness.energy.estimation.aligned import guard_power, longest_lag_s
from harness.energy.estimation.counter import quantum_j
from harness.energy.sampling.ticks import Host, Tick, Watch, poll_s
from harness.energy.sensors.base import PowerMeter, Reading, SensorError, SensorInfo

Read = Callable[[], Reading]
Switch = Callable[[bool], None]
"""Puts a steady load on the device, or takes it off; returns once it has."""
LoadOf = Callable[[PowerMeter], AbstractContextManager[Switch | None]]
"""Makes ready a load on the device that a meter reads; None where it cannot be loaded."""

TICKS = 12
"""Ticks from which the update period is taken."""
SEARCH_S = 5.0
"""A counter without a tick in so long gives no facts."""
BURST_S = 0.03
"""Polled without a pause for so long, to see a counter that ticks every millisecond."""
REST_PERIODS, ROUNDS = 4, 3
"""Polled and unpolled stretches that are compared, in update periods, and how often."""
REST_S = 0.05
"""The least length of such a stretch."""
DISTURBED = 0.05
"""Polling disturbs when it shifts the power by more than this share, and by three standard errors."""
PULSES, PULSE_PERIODS, PULSE_TRIES = 8, 6, 2
DUTY_CYCLED = 0.15
"""A counter is duty-cycled when its lag differs between pulses by more than this share of its period."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was learnt of one sensor; None is what could not be."""

    update_period_s: float | None
    quantum_j: float | None
    read_cost_s: float
    poll_disturbs: bool | None
    lag_s: float | None = None
    lag_u_s: float | None = None
    averaging_window_s: float | None = None
    aliases: bool | None = None
    loaded: bool = False
    """There was a load to learn by, whatever it showed."""

    def applied(self, info: SensorInfo) -> SensorInfo:
        """Return the sensor's facts with what was learnt."""
        return replace(
            info,
            update_period_s=self.update_period_s,
            quantum=self.quantum_j or info.quantum,
            read_cost_s=self.read_cost_s,
            poll_disturbs=self.poll_disturbs,
            lag_s=info.lag_s if self.lag_s is None else self.lag_s,
            lag_u_s=info.lag_u_s if self.lag_s is None else self.lag_u_s,
            averaging_window_s=self.averaging_window_s or info.averaging_window_s,
            aliases=self.aliases,
        )


def probe_counter(
    read: Read, info: SensorInfo, *, load: Switch | None = None, host: Host | None = None
) -> Probe:
    """Probe one energy counter. It takes some 40 update periods, and 80 more with a load.

    Args:
        read: Reads it.
        info: The counter.
        load: Switches work on the device on and off; without it lag and averaging stay unknown.
        host: The clock; tests script it.

    Raises:
        SensorError: the counter does not answer.
    """
    host = host or Host()
    ticks, read_cost_s = _ticks(read, host)
    if len(ticks) < TICKS / 2:
        return Probe(None, None, read_cost_s, None)
    disturbs, last = _disturbs(read, info, _period_s(ticks), host)
    learnt = Probe(
        _period_s(ticks, last),
        quantum_j(info, [t.joules for t in ticks]),
        read_cost_s,
        disturbs,
    )
    if load is None:
        return learnt
    learnt = replace(learnt, loaded=True)
    return learnt if learnt.poll_disturbs else _with_lag(read, learnt.applied(info), learnt, load, host)


def _ticks(read: Read, host: Host) -> tuple[list[Tick], float]:
    """Return some ticks of the counter and the median cost of a read in seconds."""
    fast = Watch([read], 0.0, host)
    fast.until(TICKS, [0], host.now_ns() + round(BURST_S * 1e9))
    slow = Watch([read], poll_s(0.0) if len(fast.ticks[0]) > 1 else poll_s(math.inf), host)
    if len(fast.ticks[0]) < TICKS:
        slow.until(TICKS, [0], host.now_ns() + round(SEARCH_S * 1e9))
    problem = fast.problems[0] or slow.problems[0]
    if problem is not None:
        raise SensorError(problem)
    found = fast if len(fast.ticks[0]) >= TICKS else slow
    return found.ticks[0], median(fast.read_s + slow.read_s)


def _period_s(ticks: list[Tick], later: Tick | None = None) -> float:
    """Return the update period from the ticks' distance, over ticks that were missed, up to a later one."""
    period_ns = median(b.at_ns - a.at_ns for a, b in pairwise(ticks))
    for last in (ticks[-1], later):
        if last is not None:
            whole_ns = last.at_ns - ticks[0].at_ns
            period_ns = whole_ns / max(1, round(whole_ns / period_ns))
    return period_ns * 1e-9


def _disturbs(read: Read, info: SensorInfo, period_s: float, host: Host) -> tuple[bool | None, Tick | None]:
    """Compare the power that the counter shows while polled and while left alone, in turn.

    Returns:
        Whether polling shifts it, and the last tick that was seen.
    """
    shifts: list[float] = []
    end: Tick | None = None
    for _ in range(ROUNDS):
        watch = Watch([read], poll_s(period_s), host)
        count = max(REST_PERIODS, math.ceil(REST_S / period_s))
        limit_ns = round((count + 6) * period_s * 1e9)
        watch.until(count + 1, [0], host.now_ns() + limit_ns)
        polled = guard_power(info, watch.ticks[0])
        if polled is None:
            return None, end
        start = watch.ticks[0][-1]
        host.sleep((count - 0.5) * period_s)
        watch.forget()
        watch.until(1, [0], host.now_ns() + limit_ns)
        if not watch.ticks[0]:
            return None, start
        end = watch.ticks[0][0]
        rested_w = (end.joules - start.joules) / ((end.at_ns - start.at_ns) * 1e-9)
        shifts.append(polled.watts / rested_w - 1 if rested_w > 0 else 0.0)
    error = stdev(shifts) / math.sqrt(len(shifts))
    return abs(fmean(shifts)) > max(DISTURBED, 3 * error), end


def _with_lag(read: Read, info: SensorInfo, learnt: Probe, load: Switch, host: Host) -> Probe:
    """Switch the load on and off at many phases of the period, and see when the counter reports it."""
    assert info.update_period_s is not None
    period_s = info.update_period_s
    found = {phase: _pulse(read, info, load, host, phase) for phase in range(PULSES)}
    lags = {phase: lag_s for phase, lag_s in found.items() if lag_s is not None}
    if len(lags) < PULSES / 2:
        return learnt
    middle_s = median(lags.values())
    for phase, lag_s in lags.items():
        if abs(lag_s - middle_s) > DUTY_CYCLED / 2 * period_s:
            # A process that was held up looks like a blind spot, now and then; a blind spot is always there.
            again = [_pulse(read, info, load, host, phase) for _ in range(PULSE_TRIES)]
            lags[phase] = min([lag_s, *(s for s in again if s is not None)], key=lambda s: abs(s - middle_s))
    seen_s = list(lags.values())
    spread_s = max(seen_s) - min(seen_s)
    duty_cycled = spread_s > DUTY_CYCLED * period_s
    # Between two of the phases that were tried the lag may be larger still, by half their distance at most.
    unseen_s = min(period_s, spread_s + period_s / PULSES / 2) if duty_cycled else 0.0
    # The unseen part of a period only ever makes work show too early.
    return replace(
        learnt,
        lag_s=max(0.0, max(seen_s) if duty_cycled else fmean(seen_s)),
        lag_u_s=period_s / PULSES / 2 if duty_cycled else stdev(seen_s) / math.sqrt(len(seen_s)),
        averaging_window_s=period_s - unseen_s,
        aliases=duty_cycled,
    )


def _pulse(read: Read, info: SensorInfo, load: Switch, host: Host, phase: int) -> float | None:
    """Switch the load on at one of `PULSES` phases, and off again; return the lag that it showed."""
    assert info.update_period_s is not None
    period_s = info.update_period_s
    watch = Watch([read], poll_s(period_s), host)
    limit_ns = round((PULSE_PERIODS + 10 + longest_lag_s(info) / period_s) * period_s * 1e9)
    watch.until(4, [0], host.now_ns() + limit_ns)
    host.sleep(period_s * (phase + 0.5) / PULSES)
    load(True)
    on_ns = host.now_ns()
    before = list(watch.ticks[0])
    watch.forget()
    watch.until(PULSE_PERIODS, [on_ns], host.now_ns() + limit_ns)
    load(False)
    off_ns = host.now_ns()
    settled_ns = off_ns + round(longest_lag_s(info) * 1e9)
    watch.until(4, [settled_ns], settled_ns + limit_ns)
    after = [t for t in watch.ticks[0] if t.since_ns >= settled_ns]
    return _lag_s(info, before, watch.ticks[0], after, (on_ns, off_ns))


def _lag_s(
    info: SensorInfo, before: list[Tick], ticks: list[Tick], after: list[Tick], pulse: tuple[int, int]
) -> float | None:
    """Return how late the counter shows the load's start: the tick's time less the work shown till then."""
    idle, later = guard_power(info, before), guard_power(info, after)
    if idle is None or later is None:
        return None
    base, end = before[-1], after[0]

    def excess_j(tick: Tick) -> float:
        return tick.joules - base.joules - idle.watts * (tick.at_ns - base.at_ns) * 1e-9

    whole_j = excess_j(end)
    pulse_s = (pulse[1] - pulse[0]) * 1e-9
    if whole_j <= pulse_s * max(3 * idle.u_watts, 0.1 * idle.watts):
        return None
    inside = [t for t in ticks if 0.15 < excess_j(t) / whole_j < 0.85]
    if len(inside) < 2:
        return None
    # Between ticks within the pulse the power is whole, whatever was seen of its edges.
    work_w = (excess_j(inside[-1]) - excess_j(inside[0])) / ((inside[-1].at_ns - inside[0].at_ns) * 1e-9)
    return median((t.at_ns - pulse[0]) * 1e-9 - excess_j(t) / work_w for t in inside)
