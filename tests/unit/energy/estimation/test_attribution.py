"""Energy of phases from one counter's ticks, in virtual time, against power that is known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from standins import virtual

from harness.energy.estimation.attribution import attribute
from harness.energy.sampling.ticks import Watch

S = 10**9


def phases_of(meter, pattern, rounds):
    """Run phases in turn; return their spans and the counter's ticks over them."""
    watch = Watch([partial(meter.read, meter.sensors[0])], 0.0002, meter.host)
    spans = {name: [] for name, *_ in pattern}
    for turn in range(rounds):
        for name, watts, base, step in pattern:
            begin = meter.now
            meter.wave.to(begin, watts)
            watch.until(10**6, [0], meter.now_ns() + round((base + step * (turn % 5)) * S))
            spans[name].append((round(begin * S), meter.now_ns()))
    return replace(meter.sensors[0], lag_s=0.0), watch.ticks[0], spans


def test_least_squares_tell_phases_apart_whose_shares_change():
    """Prefill at 600 W and decode at 250 W, in changing shares of a counter's periods."""
    meter = virtual.VirtualMeter(virtual.Waveform(60), period=0.05)
    info, ticks, spans = phases_of(meter, [("prefill", 600, 0.02, 0.013), ("decode", 250, 0.06, 0.007)], 60)
    found = attribute(info, ticks, spans)
    assert found.watts["prefill"] == pytest.approx(600, rel=0.02)
    assert found.watts["decode"] == pytest.approx(250, rel=0.02)
    assert found.condition < 10
    within = [t for t in ticks if t.at_ns <= spans["decode"][-1][1]]
    whole = within[-1].joules - within[0].joules
    assert sum(found.joules.values()) + found.residual_joules == pytest.approx(whole)


def test_phases_in_constant_shares_are_not_attributed():
    """Every period holds the same mix: there is no number, and the condition says why."""
    meter = virtual.VirtualMeter(virtual.Waveform(60), period=0.1)
    info, ticks, spans = phases_of(meter, [("forward", 600, 0.02, 0), ("backward", 300, 0.03, 0)], 60)
    found = attribute(info, ticks, spans)
    assert found.joules == {}
    assert found.flags == ("ill_conditioned",)
    assert "cannot be distinguished" in found.reason
    for facts, why in ({"lag_s": None}, "lag"), ({"aliases": True}, "part of each update period"):
        refused = attribute(replace(info, **facts), ticks, spans)
        assert refused.joules == {}
        assert why in refused.reason
