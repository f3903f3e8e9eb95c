"""Stretches whose CPU time is read, and the filter of disturbed ones, in scripted time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from standins.scripted import QUICK

from harness.timing import measure_steps

MS = 1_000_000


def test_short_iterations_are_judged_together(clock, device):
    """CPU time is read once for at least 6 ms of 0.05 ms steps."""
    reads = []

    measured = measure_steps(
        lambda _i, _m: clock.work(MS // 20), device=device, settings=QUICK, clock=clock,
        on_phase=lambda _name: reads.append(clock.cpu_reads),
    )  # fmt: skip

    assert np.diff(measured.stretches.iterations).tolist() == [120] * (measured.iterations // 120)
    assert clock.cpu_reads - reads[-1] == measured.iterations // 120 + 1


@pytest.mark.parametrize("period_ms", [1.0, 1.1, 2.0, 5.0, 10.0, 100.0, 700.0])
def test_there_are_two_readings_to_113_long_iterations(clock, device, period_ms):
    """CPU time is read around 6 ms of work or one iteration, and again after the rest of 113."""
    reads = []

    measured = measure_steps(
        lambda _i, _m: clock.work(round(period_ms * MS)), device=device, settings=QUICK, clock=clock,
        on_phase=lambda _name: reads.append(clock.cpu_reads),
    )  # fmt: skip

    stretches = measured.stretches
    assert clock.cpu_reads - reads[-1] == len(stretches.wall_ns)
    assert len(stretches.wall_ns) <= 2 * math.ceil(measured.iterations / 113) + 1
    lengths = np.diff(stretches.iterations)
    assert set(lengths[::2]) == {math.ceil(6 / period_ms)}
    assert lengths.sum() == measured.iterations
    assert measured.span_ns < (1_000 + max(12, 3 * period_ms)) * MS, "time is looked at within the rest"


def test_the_filter_names_the_disturbed_iterations(clock, device):
    """An involuntary switch, or wall above 1.03 CPU + 0.02 ms, is not clean; 3 % slower still is."""
    shapes = {
        0: {"wall_ns": 10 * MS, "switches": 1},
        113: {"wall_ns": 10_300_000 + 20_000, "cpu_ns": 10 * MS},
        226: {"wall_ns": 10_300_000 + 20_001, "cpu_ns": 10 * MS},
        230: {"wall_ns": 10 * MS, "switches": 1},
        339: {"wall_ns": 10 * MS, "cpu_ns": 9 * MS},
    }
    first = 30  # of the span: ten steps and two windows of ten go before

    measured = measure_steps(
        lambda i, _: clock.work(**shapes.get(i - first, {"wall_ns": 10 * MS})),
        device=device, settings=replace(QUICK, seconds=4.4), clock=clock,
    )  # fmt: skip

    stretches = measured.stretches
    assert measured.first_index == first
    disturbed = np.flatnonzero(~stretches.clean())
    assert stretches.iterations[disturbed].tolist() == [0, 226, 227, 339], "the rest after 226 holds 230"
    assert stretches.clean_share() == pytest.approx(1 / 4)
    kept, wall_ns = stretches.clean_work()
    assert kept == measured.iterations - 3 - 112
    assert wall_ns == kept * 10 * MS + 320_000
    assert measured.involuntary_switches == 2


def test_the_teams_filter_names_the_stretches_in_which_a_thread_waited_for_a_cpu(clock, device):
    """Sleeping at a barrier is no disturbance; a hundredth of the stretch and 0.02 ms without a CPU is."""
    waits = {0: 130_000, 113: 120_000, 226: 120_001}
    clock.waited = 0
    first = 30

    measured = measure_steps(
        lambda i, _: clock.work(10 * MS, cpu_ns=4 * MS, waited_ns=waits.get(i - first, 0)),
        device=device, settings=replace(QUICK, seconds=3.4), clock=clock,
    )  # fmt: skip

    stretches = measured.stretches
    disturbed = np.flatnonzero(~stretches.clean(team=True))
    assert stretches.iterations[disturbed].tolist() == [0, 226]
    kept, wall_ns = stretches.clean_work(team=True)
    assert (kept, wall_ns) == (measured.iterations - 2, (measured.iterations - 2) * 10 * MS)


def test_a_team_that_nobody_watches_has_no_filter(clock, device):
    """Where the kernel reports no run-queue delay, it is unknown, never 0."""
    measured = measure_steps(lambda _i, _m: clock.work(10 * MS), device=device, settings=QUICK, clock=clock)
    assert measured.stretches.waited_ns is None
