"""Shifted loops in virtual time, on a duty-cycled counter in step with the iterations."""

from __future__ import annotations

import random

import pytest
from standins import virtual

from harness.energy import measure_loop
from harness.energy.estimation import aliasing
from harness.energy.probing import cache
from harness.energy.windows import Window

pytestmark = pytest.mark.usefixtures("own_cache")


PAIRS = [(0.02, 0.02), (0.02, 0.1), (0.1, 0.1), (0.1, 0.02)]


def iterations(meter, seconds):
    """Return a step in which power is high for a quarter of the time."""

    def step(_):
        begin = meter.now
        meter.wave.to(begin, 600)
        meter.wave.to(begin + seconds / 4, 150)
        meter.now = begin + seconds
        meter.wave.to(meter.now, 60)

    return step


@pytest.mark.parametrize(("iteration", "period"), PAIRS)
def test_shifts_free_a_duty_cycled_counter_from_iterations_in_step_with_it(iteration, period):
    """Within 1 %; without shifts it is wrong by far more, and flagged."""
    truth = (600 / 4 + 150 * 3 / 4) * iteration
    found = {}
    for shift in (True, False):
        meter = virtual.VirtualMeter(
            virtual.Waveform(60), period=period, window=period / 4, phase=0.7 * period, late_s=0.0001
        )
        cache.probed(meter, meter.sensors[0], host=meter.host)
        window = Window([meter], None, None, meter.host)
        found[shift] = measure_loop(iterations(meter, iteration), window, host=meter.host, shift=shift)
    assert found[True].joules == pytest.approx(truth, rel=0.01)
    assert found[True].window.method == "counter_aligned_shifted"
    assert aliasing.FLAG not in found[True].window.flags
    assert abs(found[False].joules / truth - 1) > 0.05
    assert aliasing.FLAG in found[False].window.flags


@pytest.mark.parametrize(("iteration", "period"), PAIRS)
def test_shifted_loops_hold_to_half_a_per_cent_at_any_phase(cached_per_meter, iteration, period):
    """Polls that are late by up to half a millisecond blur each tick, and not where all of them fall."""
    truth = (600 / 4 + 150 * 3 / 4) * iteration
    for seed in range(6):
        phase = random.Random(seed).uniform(0, period)
        meter = virtual.VirtualMeter(
            virtual.Waveform(60), period=period, window=period / 4, phase=phase, late_s=0.0005, seed=seed
        )
        done = measure_loop(
            iterations(meter, iteration), Window([meter], None, None, meter.host), host=meter.host
        )
        assert done.joules == pytest.approx(truth, rel=0.005)
        assert abs(done.joules - truth) < 3 * done.u_joules
