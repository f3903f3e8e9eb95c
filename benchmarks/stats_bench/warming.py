"""The soak of a simulated session by the harness's own rule.

`soaked` runs the real `harness.timing.soak` on a scripted clock; `soak` does the same arithmetic on the array
of iteration times, with the harness's own condition. Every run of the bench first shows that the two agree.
"""

from __future__ import annotations

import math

from benchmarks.stats_bench.process import Ends, ScriptedClock
from benchmarks.stats_bench.world import Series, Session
from harness.devices.cpu import CpuDevice
from harness.timing.soak import BATCH_S, Conditions, SoakSettings, Window, agree
from harness.timing.soak import soak as real_soak

RISE_C = 40.0
"""By how much the machine warms up, with the time constant of its scenario."""
SETTINGS = SoakSettings()


def soaked(session: Session, *, thermometer: bool = False) -> bool:
    """Warm a session up by the harness's own loop, and tell whether it became steady."""
    series, clock = session.process(), ScriptedClock()

    def step(index: int, _mark: object) -> None:
        while index >= len(series.durations_ns):
            series.extend()
        clock.now += int(series.durations_ns[index])

    def read() -> Conditions:
        return _conditions(session, clock.now, thermometer=thermometer)

    found = real_soak(step, device=CpuDevice(), settings=SETTINGS, read=read, clock=clock)
    session.now_s += clock.now / 1e9
    return found.steady


def soak(session: Session, *, thermometer: bool = False) -> bool:
    """Warm a session up on the array of its iterations, and tell whether it became steady."""
    series: Series = session.process()
    ends = Ends(series)
    done, before, steady = 0, None, False
    period_ns = 0.0
    while not steady and ends[done] / 1e9 < SETTINGS.cap_s:
        first, began_ns = done, ends[done]
        while (ends[done] - began_ns) / 1e9 < SETTINGS.window_s:
            batch = max(1, math.ceil(BATCH_S * 1e9 / period_ns)) if period_ns else 1
            period_ns = max(1.0, (ends[done + batch] - ends[done]) / batch)
            done += batch
        conditions = _conditions(session, ends[done], thermometer=thermometer)
        window = Window((ends[done] - began_ns) / (done - first), ends[done], conditions)
        steady = before is not None and agree(before, window, SETTINGS)
        before = window
    session.now_s += ends[done] / 1e9
    return steady


def _conditions(session: Session, now_ns: int, *, thermometer: bool) -> Conditions:
    if not thermometer:
        return Conditions()
    return Conditions(temperature_c=40 - RISE_C * math.exp(-now_ns / 1e9 / session.scenario.heat_s))
