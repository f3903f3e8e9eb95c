"""A trial's energy from its window: iterations in step with a duty-cycled counter are measured again."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.energy import SensorError, measure_loop
from harness.energy.estimation import aliasing
from harness.energy.probing import cache
from harness.energy.windows import Window
from harness.trial import span_energy

_PATH = Path(__file__).parents[2] / "standins" / "virtual.py"
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
