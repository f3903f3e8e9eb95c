"""Estimators in virtual time, against waveforms whose integral is known exactly."""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import replace
from statistics import fmean, stdev

import pytest

from harness.energy.estimation.estimate import (
    PERIOD_U,
    READ_U_S,
    Idle,
    counter_energy,
    gap_limit_s,
    gauge_energy,
    idle_power,
    peak_power_w,
    update_period_s,
)
from harness.energy.sampling.trace import ROW, Samples, unpack
from harness.energy.sensors.base import Reading, SensorInfo

S = 10**9
COUNTER = SensorInfo("test", "0", "Scripted", "counter", "gpu", quantum=0.001, update_period_s=0.1)
GAUGE = SensorInfo("test", "0", "Scripted", "instant", "gpu", update_period_s=0.01)


def samples(sensor: SensorInfo, rows: list[tuple[float, float, int]]) -> Samples:
    """Make samples from (seconds, value, status); a read takes no time."""
    times = array("q", [round(t * S) for t, _, _ in rows])
    return Samples(
        sensor, times, times, array("d", [v for _, v, _ in rows]), array("i", [s for *_, s in rows])
    )


def counter_at(t: float, power, period: float = 0.1, phase: float = 0.0) -> float:
    """A counter that shows, from one tick to the next, the energy up to the tick."""
    tick = math.floor((t - phase) / period) * period + phase
    return power(tick)


def reading(t: float, joules: float) -> Reading:
    """Make a counter's reading that takes no time."""
    return Reading(round(t * S), round(t * S), energy_j=joules)


def test_an_unaligned_counter_window_errs_as_its_equation_says():
    """Over random phases the error's mean and spread are those of docs/method.md section 4."""
    p_in, p_out, period, rng = 300.0, 50.0, 0.1, random.Random(7)

    def joules_to(t: float) -> float:
        return 50 * t + (p_in - p_out) * min(max(t, 0.0), 1.0)

    errors = []
    for _ in range(4000):
        phase = rng.uniform(0, period)
        edges = [reading(t, counter_at(t, joules_to, period, phase)) for t in (0.0, 1.0)]
        errors.append(counter_energy(COUNTER, edges, (0, S)).joules - p_in * 1.0)
    assert fmean(errors) == pytest.approx(-(p_in - p_out) * period / 2, rel=0.05)
    # Both edges see one phase here, so the spread is that of their difference.
    assert stdev(errors) == pytest.approx(period * (p_in - p_out) / math.sqrt(12), rel=0.05)
    stated = counter_energy(COUNTER, [reading(0, 0), reading(1, 300)], (0, S)).u_joules
    assert stated >= math.sqrt(fmean(e * e for e in errors))


def test_guards_take_idle_energy_off():
    """E = dE - P_idle * 2G, whatever the read times are."""
    edges = [reading(-0.4, 0.0), reading(1.5, 300 + 50 * 0.9)]
    got = counter_energy(COUNTER, edges, (0, S), Idle(50.0, 1.0))
    assert got.joules == pytest.approx(300.0)
    # 1.9 s are 19 periods, give or take what is not known of the period and of the moments of reading.
    spread = 19 * PERIOD_U + READ_U_S / 0.1
    edges_j = 0.1 * math.sqrt(spread * (1 - spread)) * 50
    assert got.u_joules == pytest.approx(math.sqrt(edges_j**2 + 0.9**2 + 0.001**2 / 6))
    assert "edges_unaligned" not in got.flags


def test_a_calibrated_gain_replaces_the_default_and_its_flag():
    """The absolute uncertainty has the sensor's own gain uncertainty once there is one."""
    edges = [reading(0.0, 0.0), reading(1.0, 300)]
    plain = counter_energy(COUNTER, edges, (0, S))
    known = counter_energy(replace(COUNTER, gain_uncertainty=0.001), edges, (0, S))
    assert plain.u_absolute_joules == pytest.approx(math.hypot(plain.u_joules, 15.0))
    assert known.u_absolute_joules == pytest.approx(math.hypot(known.u_joules, 0.3))
    assert "gain_uncalibrated" in plain.flags
    assert "gain_uncalibrated" not in known.flags


def test_wraps_in_the_middle_are_all_counted():
    """Samples between the edges reveal each wrap."""
    info = replace(COUNTER, wrap_j=2000.0)
    values = [(t / 10, (1900 + 25 * t) % 2000) for t in range(101)]
    got = counter_energy(info, [reading(*v) for v in values], (0, 10 * S))
    assert got.joules == pytest.approx(2500.0)


def test_a_reset_in_the_middle_gives_no_number_even_if_the_end_is_higher():
    """The edges alone would look fine."""
    values = [(0.0, 10.0), (0.5, 40.0), (0.6, 1.0), (1.0, 60.0)]
    got = counter_energy(COUNTER, [reading(*v) for v in values], (0, S))
    assert got.joules is None
    assert got.flags == ("counter_reset",)


def test_a_counter_that_stood_still_in_the_middle_is_flagged():
    """There is a number, as it caught up; a gap in the samples is not taken for standing still."""
    values = [(t / 20, 190.0 if 20 <= t < 40 else 10.0 * t) for t in range(61)]
    stuck = counter_energy(COUNTER, [reading(*v) for v in values], (0, 3 * S))
    assert stuck.joules == pytest.approx(600.0)
    assert "sensor_stuck" in stuck.flags
    gap = [reading(*v) for v in values if not 1.0 <= v[0] < 2.0]
    assert "sensor_stuck" not in counter_energy(COUNTER, gap, (0, 3 * S)).flags


def test_a_window_shorter_than_the_counter_can_resolve_says_so():
    """20 ms on a counter of 100 ms: the uncertainty exceeds half the number."""
    got = counter_energy(COUNTER, [reading(0.0, 0.0), reading(0.02, 6.0)], (0, round(0.02 * S)))
    assert "below_resolution" in got.flags


def test_held_power_is_integrated_exactly():
    """E = sum of P_i * dt_i, cut at the span's edges; the sample before the start counts."""
    sparse = samples(GAUGE, [(-0.1, 100, 0), (0.25, 200, 0), (0.5, 400, 0), (0.9, 0, 0), (1.2, 999, 0)])
    dense = samples(GAUGE, [(t / 100, 100 if t < 50 else 300, 0) for t in range(-10, 111)])
    assert gauge_energy(GAUGE, dense, (0, S)).joules == pytest.approx(200.0)
    assert gauge_energy(GAUGE, sparse, (0, S)).joules == pytest.approx(25 + 50 + 160 + 0)


def test_a_gap_in_the_power_samples_is_not_filled_in():
    """Missing half a second gives a flag and no number."""
    rows = [(t / 100, 100.0, 0) for t in range(-5, 105) if not 20 <= t < 70]
    got = gauge_energy(GAUGE, samples(GAUGE, rows), (0, S))
    assert got.joules is None
    assert got.flags == ("sample_gap",)


def test_a_failed_power_sample_voids_the_integral():
    """An error row is no 0 W."""
    rows = [(t / 100, 0.0 if t == 50 else 100.0, int(t == 50)) for t in range(-5, 105)]
    got = gauge_energy(GAUGE, samples(GAUGE, rows), (0, S))
    assert got.joules is None
    assert got.flags == ("sensor_error",)
    assert peak_power_w(samples(GAUGE, rows), (0, S)) is None


def test_constant_power_is_not_a_stuck_gauge():
    """The same value a hundred times is a constant, with its energy."""
    rows = [(t / 100, 250.0, 0) for t in range(-5, 105)]
    got = gauge_energy(GAUGE, samples(GAUGE, rows), (0, S))
    assert got.joules == pytest.approx(250.0)
    assert got.u_joules > 0


def test_a_counters_period_shows_in_its_samples():
    """Sampled every 10 ms, a counter of 100 ms ticks every 100 ms; without ticks nothing is known."""
    rows = [(t / 100, counter_at(t / 100, lambda x: 250 * x), 0) for t in range(200)]
    assert update_period_s(samples(COUNTER, rows)) == pytest.approx(0.1)
    assert update_period_s(samples(COUNTER, rows[:15])) is None


def test_idle_power_lies_between_ticks():
    """From first to last tick the counter is aligned with itself: no edge error."""
    rows = [(t / 100, counter_at(t / 100, lambda x: 40 * x), 0) for t in range(60)]
    idle = idle_power(samples(COUNTER, rows), (0, round(0.6 * S)))
    assert idle.watts == pytest.approx(40.0, rel=1e-6)
    assert idle.u_watts < 1.0
    assert idle_power(samples(COUNTER, rows), (0, round(0.15 * S))) is None


def test_peak_power_is_the_gauges_largest_or_the_counters_steepest():
    """A burst of 500 W shows in both."""
    burst = [(t / 100, 500.0 if 30 <= t < 60 else 100.0, 0) for t in range(100)]
    assert peak_power_w(samples(GAUGE, burst), (0, S)) == 500.0

    def joules_to(t: float) -> float:
        return 100 * t + 400 * min(max(t - 0.3, 0.0), 0.3)

    rows = [(t / 100, joules_to(t / 100), 0) for t in range(100)]
    assert peak_power_w(samples(COUNTER, rows), (0, S)) == pytest.approx(500.0)


def test_a_gap_is_judged_by_the_traces_own_pace():
    """Four sampling periods, and never less than a quarter of a second."""
    assert gap_limit_s(samples(GAUGE, [(t / 100, 1, 0) for t in range(10)])) == 0.25
    assert gap_limit_s(samples(GAUGE, [(t / 10, 1, 0) for t in range(10)])) == pytest.approx(0.4)


def test_rows_of_several_channels_are_sorted_by_sensor():
    """What `sampler.c` writes comes back by channel, errors with their status."""
    rows = b"".join(ROW.pack(i, i + 1, float(i), i % 2, 15 * (i == 3)) for i in range(4))
    first, second = unpack(rows, (COUNTER, GAUGE), lost=2)
    assert list(first.value) == [0.0, 2.0]
    assert list(second.status) == [0, 15]
    assert [r.power_w for r in second.readings()] == [1.0]
    assert first.lost == 2


def test_a_gauge_whose_times_went_back_gives_no_number():
    """Lines of a meter's file in the wrong order: an error with its reason, not an integral of them."""
    trace = samples(GAUGE, [(0, 50, 0), (0.1, 50, 0), (0.05, 90, 0), (0.2, 50, 0)])
    found = gauge_energy(GAUGE, trace, (0, round(0.2e9)))
    assert found.joules is None
    assert found.flags == ("sensor_error",)
    assert "went back" in found.reason
