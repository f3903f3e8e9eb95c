"""Energy between a counter's own ticks: guards of idleness before and after the work, and pauses within it.

docs/method.md, section 4: `E = dE(a -> b) - P_before*(start - a) - P_after*(b - end) - P_pause*pauses`, a and
b being ticks in the guards, moved back by the counter's lag. A tick is as sharp as it was polled, so that
nothing of the update period is left in the result. Pure functions of readings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from statistics import fmean, stdev

from harness.energy.estimation.counter import REASONS, counted, stuck
from harness.energy.estimation.estimate import Estimate, Span, with_gain
from harness.energy.sampling.ticks import Tick
from harness.energy.sensors.base import Reading, SensorInfo

METHOD = "counter_aligned"
LAG_BOUND_S = 0.3
"""Lag that is reckoned with where none was probed; it then lies anywhere between 0 and this."""
STAMP_S = 10e-6
"""How well the span's own edges are known: a clock read and a call."""
CANDIDATES = 3
"""So many ticks next to the work are tried as its edge; a held-up poll makes the nearest a poor one."""
DIFFER = 0.1
"""Guards whose powers differ by more than this share are flagged: the work's neighbourhood is not at rest."""
LEAST_TICKS = 3


@dataclass(frozen=True, slots=True)
class GuardPower:
    """Power in one guard, from its first tick to its last."""

    watts: float
    u_watts: float
    """Standard uncertainty of the mean over the guard."""
    spread_w: float
    """How far one update period strays from the mean, beyond what the ticks' times explain."""
    first: Tick
    last: Tick

    @property
    def seconds(self) -> float:
        """Return the guard's length from tick to tick."""
        return (self.last.at_ns - self.first.at_ns) * 1e-9


def guard_power(info: SensorInfo, ticks: Sequence[Tick]) -> GuardPower | None:
    """Return the power between a guard's ticks; None with fewer than three, or over a reset."""
    if len(ticks) < LEAST_TICKS:
        return None
    powers = [_power(info, a, b) for a, b in pairwise(ticks)]
    whole = _power(info, ticks[0], ticks[-1])
    if whole is None or any(p is None for p in powers):
        return None
    known = [p for p in powers if p is not None]
    explained = fmean(u_watts**2 for _, u_watts in known)
    excess = stdev(watts for watts, _ in known) ** 2 - 2 * explained
    spread_w = math.sqrt(excess) if excess > 2 * explained else 0.0
    u_watts = math.hypot(whole[1], spread_w / math.sqrt(len(known)))
    return GuardPower(whole[0], u_watts, spread_w, ticks[0], ticks[-1])


def _lag_of(info: SensorInfo) -> tuple[float, float]:
    """Return a counter's lag and its standard uncertainty in s; one never probed lies below the bound."""
    if info.lag_s is None:
        return LAG_BOUND_S / 2, LAG_BOUND_S / math.sqrt(12)
    return info.lag_s, info.lag_u_s or 0.0


def longest_lag_s(info: SensorInfo) -> float:
    """Return the time after which all of the work is surely counted, but for the update under way."""
    return LAG_BOUND_S if info.lag_s is None else info.lag_s + 2 * (info.lag_u_s or 0.0)


def aligned_energy(
    info: SensorInfo,
    before: Sequence[Tick],
    after: Sequence[Tick],
    spans: Sequence[Span],
    between: Sequence[Reading] = (),
    blurs_s: tuple[float, float] = (0.0, 0.0),
    nearest: Tick | None = None,
) -> Estimate:
    """Estimate the energy of one or more spans of work between two guards.

    Args:
        info: The counter, with its probed facts.
        before: Ticks in the guard before the first span, at least three.
        after: Ticks at which all of the work had been counted, at least three.
        spans: The work, in order; between them the device is idle.
        between: Other reads between the guards, in order: they reveal wraps, resets and standing still.
        nearest: The first tick after the work where it is none of `after`, whose power it takes.
        blurs_s: Standard uncertainty of time that all ticks of the guard before share, and of the one after.
    """
    p_before, p_after = guard_power(info, before), guard_power(info, after)
    if p_before is None or p_after is None:
        return Estimate(METHOD, flags=("sample_gap",), reason="too few ticks of the counter in the guards")
    first, last = before[-CANDIDATES:], after[:CANDIDATES] if nearest is None else [nearest]
    path = [
        *(t.reading for t in first),
        *(r for r in between if r.t0_ns >= first[-1].reading.t1_ns and r.t1_ns <= last[0].reading.t0_ns),
        *(t.reading for t in last),
    ]
    _, problem = counted(info, path)
    if problem:
        return Estimate(METHOD, flags=(problem,), reason=REASONS[problem])
    lasting, flags = stuck(info, path)
    if lasting:
        return Estimate(METHOD, flags=flags, reason=REASONS["sensor_stuck"])
    joules, u_joules = min(
        (_between(info, a, b, p_before, p_after, spans, path) for a, b in product(first, last)),
        key=lambda found: found[1],
    )
    if abs(p_after.watts - p_before.watts) > DIFFER * max(p_before.watts, p_after.watts):
        flags += ("guards_differ",)
    blurred = (p_before.watts * blurs_s[0], p_after.watts * blurs_s[1])
    busy_s = sum(b - a for a, b in spans) * 1e-9
    u_joules = math.hypot(
        u_joules, *blurred, _duty_cycle_u(info, joules / busy_s, p_before.watts, len(spans))
    )
    if info.aliases:
        flags += ("duty_cycled_counter",)
    if u_joules > abs(joules) / 2:
        flags += ("below_resolution",)
    return with_gain(info, Estimate(METHOD, joules, u_joules, flags=flags, coverage=1.0))


def _between(
    info: SensorInfo,
    a: Tick,
    b: Tick,
    before: GuardPower,
    after: GuardPower,
    spans: Sequence[Span],
    path: Sequence[Reading],
) -> tuple[float, float]:
    """Return energy and repeatability of the spans from one pair of ticks."""
    lag_s, u_lag_s = _lag_of(info)
    start_ns, end_ns = spans[0][0], spans[-1][1]
    lead_s = (start_ns - a.at_ns) * 1e-9 + lag_s
    tail_s = (b.at_ns - end_ns) * 1e-9 - lag_s
    pause_s = sum(later[0] - earlier[1] for earlier, later in pairwise(spans)) * 1e-9
    inside, _ = counted(info, [r for r in path if a.reading.t0_ns <= r.t0_ns <= b.reading.t0_ns])
    assert inside is not None
    pause_w = (before.watts + after.watts) / 2
    joules = inside - before.watts * lead_s - after.watts * tail_s - pause_w * pause_s
    # Two guards' powers differ by chance as well, as far as their own uncertainties go.
    apart_w = math.sqrt(max(0.0, (before.watts - after.watts) ** 2 - before.u_watts**2 - after.u_watts**2))
    mean_w = joules / (sum(b - a for a, b in spans) * 1e-9)
    terms = (
        *_guard_terms(info, before, a, before.first, lead_s, pause_s / 2),
        *_guard_terms(info, after, b, after.last, tail_s, pause_s / 2),
        apart_w * u_lag_s,
        apart_w * pause_s / math.sqrt(12),
        mean_w * STAMP_S * math.sqrt(2 * len(spans)),
    )
    return joules, math.hypot(*terms)


def _guard_terms(
    info: SensorInfo, guard: GuardPower, edge: Tick, far: Tick, seconds: float, pause_s: float
) -> tuple[float, ...]:
    """Return what a guard leaves open, in joules: its ticks' times, their quanta, and power that strays.

    The edge's own error enters twice where the guard's power was taken from it too, and both add up.

    Args:
        info: The counter.
        guard: Its power.
        edge: The tick from which energy is counted.
        far: The guard's tick away from the work.
        seconds: From the edge to the work.
        pause_s: Other idle time that takes the guard's power.
    """
    near = guard.last if far is guard.first else guard.first
    share = (abs(seconds) + pause_s) / guard.seconds
    step_j = (info.quantum or 0.0) / math.sqrt(12)
    periods = max(1.0, abs(seconds) / (info.update_period_s or abs(seconds) or 1.0))
    strays = (
        (abs(seconds) + pause_s) * guard.spread_w / math.sqrt(LEAST_TICKS),
        abs(seconds) * guard.spread_w / math.sqrt(periods),
    )
    ends = (guard.watts * far.u_s * share, step_j * share)
    if edge is near:
        return (guard.watts * edge.u_s * (1 + share), step_j * (1 + share), *ends, *strays)
    own = (guard.watts * edge.u_s, step_j)
    return (*own, guard.watts * near.u_s * share, step_j * share, *ends, *strays)


def _duty_cycle_u(info: SensorInfo, work_w: float, idle_w: float, spans: int) -> float:
    """Return what the unmeasured part of each update period leaves open at the edges of the work."""
    if not info.aliases or info.update_period_s is None:
        return 0.0
    unseen_s = info.update_period_s - (info.averaging_window_s or 0.0)
    # An edge anywhere in the period errs by a triangle of this height.
    return abs(work_w - idle_w) * unseen_s / math.sqrt(12) * math.sqrt(2 / spans)


def _power(info: SensorInfo, a: Tick, b: Tick) -> tuple[float, float] | None:
    """Return the mean power between two ticks and its standard uncertainty; None over a reset."""
    joules, _ = counted(info, [a.reading, b.reading])
    if joules is None:
        return None
    seconds = (b.at_ns - a.at_ns) * 1e-9
    watts = joules / seconds
    return watts, math.hypot(watts * a.u_s, watts * b.u_s, (info.quantum or 0.0) / math.sqrt(6)) / seconds
