"""Guarded windows in virtual time, against waveforms whose integral is exact."""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import fmean

import pytest
from standins import virtual

from harness.energy import sparse_guards
from harness.energy.probing import cache
from harness.energy.probing.probe import Probe
from harness.energy.sampling.ticks import Grid, Tick
from harness.energy.sensors.base import Reading
from harness.energy.windows import Window

pytestmark = pytest.mark.usefixtures("own_cache")
S = 10**9
LENGTHS = (0.2, 0.23, 0.5, 1.0, 1.037)


def draw(meter, kind, work, idle, seconds, rng):
    """Let the meter draw a waveform for some seconds, then idle power; return when it ended."""
    begin = meter.now
    if kind == "burst":
        meter.wave.to(begin, work)
    elif kind == "ramp":
        meter.wave.to(begin, idle, work)
        meter.wave.to(begin + seconds / 2, work, idle)
    elif kind == "noise":
        for part in range(10):
            meter.wave.to(begin + seconds * part / 10, rng.uniform(idle, work))
    elif kind == "sawtooth":
        teeth = rng.randint(2, 9)
        for tooth in range(teeth):
            meter.wave.to(begin + seconds * tooth / teeth, idle, work)
    elif kind == "bursts":
        at = begin
        while at < begin + seconds:
            meter.wave.to(at, work * rng.uniform(0.5, 1.0))
            at += rng.expovariate(1 / 0.03)
            meter.wave.to(at, idle)
            at += rng.expovariate(1 / 0.05)
    elif kind == "slow":
        meter.wave.to(begin, idle, rng.uniform(idle, work))
    elif kind == "pulses":
        for start in range(round(seconds / 0.008)):
            meter.wave.to(begin + 0.008 * start, work)
            meter.wave.to(begin + 0.008 * start + 0.0024, 1.2 * idle)
    meter.now = begin + seconds
    meter.wave.to(meter.now, idle)
    return begin, meter.now


def one_window(seed, kind, **options):
    """Meter one waveform in virtual time; return the result and the truth over the same span."""
    rng = random.Random(seed)
    period = rng.choice((0.02, 0.05, 0.1))
    idle, work, seconds = rng.uniform(40, 120), rng.uniform(200, 700), rng.choice(LENGTHS)
    settings = {"lag": rng.choice((0.0, 0.03, 0.12)), "late_s": 0.0005, **options}
    meter = virtual.VirtualMeter(
        virtual.Waveform(idle), period=period, phase=rng.uniform(0, period), seed=seed, **settings
    )
    meter.now = rng.uniform(0, 1)
    meter.lag_known = seed % 3 > 0
    with Window([meter], None, None, meter.host) as window:
        start, end = draw(meter, kind, work, idle, seconds, rng)
    return window.result, meter.truth([(round(start * S), round(end * S))])


KINDS = ("burst", "ramp", "steady", "noise", "sawtooth", "bursts", "slow", "pulses")


def test_intervals_cover_the_truth_as_often_as_they_say(cached_per_meter):
    """Of 800 windows over mixed waveforms, 93 to 97 % of the 95 % intervals hold the exact energy."""
    covered = 0
    for seed in range(800):
        quantum = (0.001, 0.001, 0.1, 0.5)[seed // 8 % 4]
        result, truth = one_window(seed, KINDS[seed % 8], quantum=quantum)
        assert result.method == "counter_aligned"
        covered += abs(result.joules - truth) <= 1.96 * result.u_joules
    assert 0.93 <= covered / 800 <= 0.97


def test_windows_on_a_counter_that_polling_disturbs_cover_and_lean_to_no_side(monkeypatch):
    """Of 2,000 intervals 93 to 97 % hold, for each waveform too as far as chance lets it show."""

    def fitted(meter, sensor, **_):
        period_s = meter._period * (1 + rng.gauss(0, 3e-4))  # as well as a probe reports it
        known = Probe(period_s, 0.001, 20e-6, poll_disturbs=True)
        return (replace(known, lag_s=meter._lag, lag_u_s=0.0) if meter.lag_known else known).applied(sensor)

    rng = random.Random(0)
    monkeypatch.setattr(cache, "fitted", fitted)
    apart = {kind: [] for kind in KINDS}
    for seed in range(2000):
        kind = KINDS[seed % 8]
        result, truth = one_window(seed, kind, disturb_j=(0.005, 0.02, 0.05)[seed // 8 % 3])
        assert result.method == "counter_sparse"
        apart[kind].append((result.joules - truth) / result.u_joules)
    share = {kind: sum(abs(z) <= 1.96 for z in normed) / 250 for kind, normed in apart.items()}
    assert 0.93 <= fmean(share.values()) <= 0.97
    assert min(share.values()) >= 0.91
    assert max(abs(fmean(normed)) for normed in apart.values()) < 0.25


@pytest.mark.parametrize("seconds", LENGTHS)
def test_tick_aligned_bursts_are_right_to_a_per_cent(cached_per_meter, seconds):
    """Whatever the length, the lag and the phase: 1 % at the 95th percentile at 0.2 s, 0.5 % from 1 s on."""
    errors = []
    for seed in range(60):
        rng = random.Random(seed)
        meter = virtual.VirtualMeter(
            virtual.Waveform(60), phase=rng.uniform(0, 0.1), lag=0.1 * rng.random(), late_s=0.0005, seed=seed
        )
        with Window([meter], None, None, meter.host) as window:
            start, end = draw(meter, "burst", 500, 60, seconds, rng)
        truth = meter.truth([(round(start * S), round(end * S))])
        errors.append(abs(window.result.joules / truth - 1))
    assert sorted(errors)[56] < (0.01 if seconds < 1 else 0.005)


def disturbed_bursts(idle=60, **options):
    """Meter bursts of 0.2 s on a counter that polling disturbs; return the results and their errors."""
    found = []
    for seed in range(20):
        rng = random.Random(seed)
        meter = virtual.VirtualMeter(
            virtual.Waveform(idle),
            phase=rng.uniform(0, 0.1),
            disturb_j=0.05,
            seed=seed,
            late_s=0.0005,
            **options,
        )
        with Window([meter], None, None, meter.host) as window:
            start, end = draw(meter, "burst", 500, idle, 0.2, rng)
        truth = meter.truth([(round(start * S), round(end * S))])
        found.append((window.result, abs(window.result.joules / truth - 1)))
    return found


def test_a_counter_that_polling_disturbs_is_read_a_few_times():
    """The probe sees it; the window then finds ticks with a dozen reads, and is right to 1 %."""
    found = disturbed_bursts()
    assert {result.method for result, _ in found} == {"counter_sparse"}
    assert all(result.devices[0].sensors[0].poll_disturbs for result, _ in found)
    assert sorted(error for _, error in found)[18] < 0.01


def test_reads_at_the_ends_of_guards_remain_where_a_tick_cannot_be_told(monkeypatch):
    """A sensor that fails once while ticks are sought: two reads on each side are right to 5 %."""
    monkeypatch.setattr(sparse_guards._Rest, "read_cost_j", lambda _: None)
    found = disturbed_bursts()
    assert {result.method for result, _ in found} == {"counter_guarded"}
    assert sorted(error for _, error in found)[18] < 0.05
    assert all(error * result.joules < 3 * result.u_joules for result, error in found)


def test_a_gain_that_is_not_calibrated_shows_in_the_absolute_uncertainty(cached_per_meter):
    """A counter that shows 4 % too much lies outside its repeatability and within its absolute interval."""
    result, truth = one_window(3, "burst", gain=1.04)
    info = replace(result.devices[0].sensors[0], gain_uncertainty=None)
    assert abs(result.joules - truth) > 1.96 * result.u_joules
    assert info.gain_uncertainty is None
    assert 0.05 * result.joules * 1.96 > abs(result.joules - truth)


def test_a_reset_between_the_guards_gives_no_number(cached_per_meter, monkeypatch):
    """Also when nothing was sampled in between: the end is below the beginning."""
    meter = virtual.VirtualMeter(virtual.Waveform(60))
    with Window([meter], None, None, meter.host) as window:
        meter.now += 0.5
        monkeypatch.setattr(meter, "_gain", 0.001)
    assert window.result.joules is None
    assert window.result.flags[0] == "counter_reset"


def test_a_wrap_between_the_guards_is_counted(cached_per_meter):
    """A range of 1450 J that starts at 1000 J is passed within the burst."""
    meter = virtual.VirtualMeter(virtual.Waveform(60), wrap_j=1450.0)
    with Window([meter], None, None, meter.host) as window:
        start, end = draw(meter, "burst", 500, 60, 1.0, random.Random(0))
    truth = meter.truth([(round(start * S), round(end * S))])
    assert window.result.joules == pytest.approx(truth, rel=0.005)


def test_a_probe_is_made_once_and_again_when_the_counter_has_changed():
    """The second window reads the cache; a counter of another pace is probed anew within the window."""
    meter = virtual.VirtualMeter(virtual.Waveform(60), period=0.1)
    cache.probed(meter, meter.sensors[0], host=meter.host)
    spent = meter.now
    assert cache.probed(meter, meter.sensors[0], host=meter.host).update_period_s is not None
    assert meter.now == spent
    changed = virtual.VirtualMeter(virtual.Waveform(60), period=0.03)
    with Window([changed], None, None, changed.host) as window:
        draw(changed, "burst", 300, 60, 0.3, random.Random(1))
    assert window.result.devices[0].sensors[0].update_period_s == pytest.approx(0.03, rel=0.02)


def test_a_grid_of_ticks_is_sharper_than_any_of_them():
    """Ticks every 20.004 ms, each known to a millisecond, one far off and known to be so."""
    grid, rng = Grid(0.02), random.Random(1)
    for n in range(40):
        true_ns, wide_ns = n * 20_004_000, 8_000_000 if n == 20 else 1_000_000
        since_ns = true_ns - round(wide_ns * rng.random())
        until_ns = since_ns + wide_ns
        grid.add(Tick(since_ns, Reading(until_ns, until_ns, energy_j=float(n))))
    at_ns, u_ns = grid.latest_ns()
    assert u_ns < 150_000
    assert abs(at_ns - 39 * 20_004_000) < 3 * u_ns
    assert grid.period_ns == pytest.approx(20_004_000, rel=1e-3)
