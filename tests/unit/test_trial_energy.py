"""A trial's energy from its window: iterations in step with a part-time counter are measured again."""

from __future__ import annotations

import importlib.util
from array import array
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.energy import SensorError, measure_loop
from harness.energy.estimation import aliasing
from harness.energy.probing import cache
from harness.energy.sampling.trace import Samples
from harness.energy.windows import Window
from harness.trial import span_energy
from harness.trial.passes import phase_energy

_PATH = Path(__file__).parents[1] / "standins" / "virtual.py"
_SPEC = importlib.util.spec_from_file_location("virtual_sensor_trial", _PATH)
virtual = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(virtual)
PERIOD_S = 0.1
JOULES = (600 / 4 + 150 * 3 / 4) * PERIOD_S
"""Of one iteration: 600 W for a quarter of it, then 150 W."""


@pytest.fixture
def meter(tmp_path, monkeypatch):
    """A counter that looks at a quarter of each 100 ms."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = virtual.VirtualMeter(
        virtual.Waveform(60), period=PERIOD_S, window=PERIOD_S / 4, phase=0.07, late_s=0.0001
    )
    cache.probed(found, found.sensors[0], host=found.host)
    return found


def step(meter, iteration_s, _index):
    """One iteration."""
    begin = meter.now
    meter.wave.to(begin, 600)
    meter.wave.to(begin + iteration_s / 4, 150)
    meter.now = begin + iteration_s
    meter.wave.to(meter.now, 60)


def measured(meter, iteration_s, n=40, guard_s=None):
    """A span of n iterations, and what its window said."""
    with Window([meter], None, guard_s, meter.host) as window:
        for index in range(n):
            step(meter, iteration_s, index)
    durations = np.full(n, round(iteration_s * 1e9))
    return window.result, SimpleNamespace(durations_ns=durations, group=1, iterations=n)


def again(meter, iteration_s=PERIOD_S, guard_s=None):
    """The shifted loop that a trial would run."""
    window = Window([meter], None, guard_s, meter.host)
    return measure_loop(partial(step, meter, iteration_s), window, seconds=4, host=meter.host)


def lost(_sensor):
    """A read of a device that is gone."""
    raise SensorError("GPU is lost")


def test_a_span_in_step_with_its_counter_takes_its_energy_from_a_shifted_loop(meter):
    """The span is wrong by far more than 1 %; the record's energy is right, and says how it was measured."""
    result, measurement = measured(meter, PERIOD_S)
    assert abs(result.joules / measurement.iterations / JOULES - 1) > 0.05
    found = span_energy.span_energy(result, measurement, partial(again, meter))
    used, evidence = found.use(), found.evidence()
    assert used.joules / measurement.iterations == pytest.approx(JOULES, rel=0.01)
    assert abs(used.joules / measurement.iterations - JOULES) < 3 * used.u_joules / measurement.iterations
    assert used.mean_w == pytest.approx(JOULES / PERIOD_S, rel=0.01)
    assert evidence["sensor_method"] == "counter_aligned_shifted"
    assert aliasing.FLAG not in evidence["sensor_flags"]
    assert evidence["energy"]["joules"] == result.joules
    shifted = evidence["energy_aliased"]["shifted"]
    assert shifted["blocks"] >= 16
    assert shifted["joules"] * measurement.iterations == used.joules


def test_a_span_out_of_step_is_not_measured_again(meter):
    """Iterations of 37 ms show every part of themselves: the window's own energy stands."""
    result, measurement = measured(meter, 0.037, 100)
    found = span_energy.span_energy(result, measurement, lambda: pytest.fail("nothing is to be repeated"))
    assert found.use().joules == result.joules
    assert "energy_aliased" not in found.evidence()


@pytest.mark.parametrize("why", ["ranks", "guards", "sensor"])
def test_where_no_shifted_loop_is_possible_the_energy_stays_flagged_with_the_reason(meter, monkeypatch, why):
    """Several ranks, no guards, or a sensor that was lost meanwhile."""
    guard_s = 0.0 if why == "guards" else None
    result, measurement = measured(meter, PERIOD_S, guard_s=guard_s)
    if why == "sensor":
        monkeypatch.setattr(meter, "read", lost)
    loop = partial(again, meter, guard_s=guard_s)
    found = span_energy.span_energy(result, measurement, loop, alone=why != "ranks")
    evidence = found.evidence()
    assert found.use().joules == result.joules
    assert aliasing.FLAG in evidence["sensor_flags"]
    assert evidence["energy_aliased"]["reason"]
    assert evidence["energy_aliased"]["shifted"] is None


def generated(prefill_s, decode_s, n=50, period=0.05, sample_s=0.01, **facts):
    """A span of n generations, 600 W until the first token and 250 W after it, sampled beside the work."""
    meter = virtual.VirtualMeter(virtual.Waveform(60), period=period, lag=0.03, phase=0.004)
    edges, marks = [meter.now], []
    for i in range(n):
        first = meter.now + prefill_s * (1 + 0.1 * (i % 3))
        meter.wave.to(meter.now, 600)
        meter.wave.to(first, 250)
        marks.append(round((first - meter.now) * 1e9))
        meter.now = first + decode_s
        meter.wave.to(meter.now, 60)
        edges.append(meter.now)
    counter = meter.sensors[0]
    rows = [array("q"), array("q"), array("d"), array("i")]
    for k in range(round(edges[-1] / sample_s) + 20):
        meter.now = k * sample_s
        read = meter.read(counter)
        for column, value in zip(rows, (read.t0_ns, read.t1_ns, read.energy_j, 0), strict=True):
            column.append(value)
    info = replace(counter, update_period_s=period, **{"lag_s": 0.03, "aliases": False, **facts})
    device = SimpleNamespace(device="0", in_total=True, sensors=(info,), joules=1.0, reason=None)
    result = SimpleNamespace(
        span_ns=(0, round(edges[-1] * 1e9)), trace=(Samples(counter, *rows),), devices=(device,)
    )
    durations = np.diff(np.round(np.array(edges) * 1e9)).astype(np.int64)
    measurement = SimpleNamespace(
        durations_ns=durations, group=1, stretches=None, marks={"first_token": np.array(marks)}
    )
    return result, measurement


def test_prefill_and_decode_are_told_apart_within_the_span():
    """Iterations of 0.35 s on a counter of 50 ms: both powers come out, with the equations' condition."""
    (found,) = phase_energy.attribution(*generated(0.11, 0.24))["attribution"]
    assert found["watts"]["prefill"] == pytest.approx(600, rel=0.02)
    assert found["watts"]["decode"] == pytest.approx(250, rel=0.02)
    assert found["joules"]["prefill"] == pytest.approx(600 * 0.121, rel=0.02)
    assert abs(found["joules"]["decode"] - 250 * 0.24) < 3 * found["u_joules"]["decode"] + 0.5
    assert 1 <= found["condition"] < 30
    assert found["reason"] is None


@pytest.mark.parametrize(
    ("iteration", "facts", "reason"),
    [
        ((0.0011, 0.0024, 800), {"period": 0.1}, "cannot be told apart"),
        ((0.11, 0.24), {"lag_s": None}, "lag was never probed"),
        ((0.11, 0.24), {"aliases": True}, "part of each period"),
    ],
)
def test_phases_that_the_counter_does_not_tell_have_a_reason_and_no_number(iteration, facts, reason):
    """Iterations far shorter than its period, a lag nobody knows, a counter that looks now and then."""
    (found,) = phase_energy.attribution(*generated(*iteration, **facts))["attribution"]
    assert found["joules"] is None
    assert reason in found["reason"]


def test_without_a_counter_or_a_first_token_nothing_is_attributed():
    """A gauge alone says why; work without a first token has no such evidence at all."""
    result, measurement = generated(0.11, 0.24, 5)
    unsampled = SimpleNamespace(**{**vars(result), "trace": ()})
    (found,) = phase_energy.attribution(unsampled, measurement)["attribution"]
    assert found["reason"] == "no energy counter was sampled beside the work"
    assert phase_energy.attribution(result, SimpleNamespace(marks={})) == {}
