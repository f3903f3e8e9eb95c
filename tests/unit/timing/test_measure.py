"""Warm-up, span, stop and flags, in scripted time: every number is known exactly."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from standins.scripted import QUICK

from harness.devices.base import Counters, DeviceError
from harness.timing import TimingSettings, measure, measure_steps

# The package's function of the same name hides the module.
measure_module = import_module("harness.timing.measure")
MS = 1_000_000


def test_span_and_durations_are_exact(clock, device):
    """Uneven steps: each duration, their sum and the number of steps come out to the nanosecond."""
    lengths = [7 * MS, 9 * MS, 11 * MS, 13 * MS]

    measured = measure_steps(
        lambda i, _: clock.work(lengths[i % 4]), device=device, settings=QUICK, clock=clock
    )

    first, count = measured.first_index, measured.iterations
    expected = [lengths[i % 4] for i in range(first, first + count)]
    assert measured.durations_ns.tolist() == expected
    assert measured.span_ns == sum(expected)
    assert measured.host_ns == measured.span_ns
    assert measured.clock == "host"
    assert measured.group == 1


def test_span_ends_at_the_first_iteration_past_its_time(clock, device):
    """1 s of 30 ms steps is 34 of them: the one that crosses the line is finished and counted."""
    measured = measure_steps(lambda _i, _m: clock.work(30 * MS), device=device, settings=QUICK, clock=clock)
    assert measured.iterations == 34
    assert measured.span_ns == 34 * 30 * MS
    assert measured.flags == ()


def test_long_iterations_run_their_least_number(clock, device):
    """Steps longer than the whole span still run `min_iterations` times, too few to judge drift."""
    measured = measure_steps(lambda _i, _m: clock.work(2000 * MS), device=device, settings=QUICK, clock=clock)
    assert measured.iterations == 3
    assert measured.flags == ("not_steady", "drift_unknown")


def test_step_indices_count_up_from_the_first(clock, device):
    """Warm-up and span share one unbroken count of steps, and the measurement says where the span began."""
    seen = []

    def step(index, _mark):
        seen.append(index)
        clock.work(10 * MS)

    measured = measure_steps(step, device=device, settings=QUICK, clock=clock, first_index=5)

    assert seen == list(range(5, 5 + len(seen)))
    assert measured.first_index == 5 + measured.warmup_iterations
    assert len(seen) == measured.warmup_iterations + measured.iterations


def test_warm_up_is_exact_for_constant_work(clock, device):
    """10 ms steps: ten reach 0.1 s, then two windows of ten batches agree."""
    measured = measure_steps(lambda _i, _m: clock.work(10 * MS), device=device, settings=QUICK, clock=clock)
    assert measured.warmup_iterations == 30
    assert measured.warmup_ns == 300 * MS
    assert measured.steady


def test_warm_up_outlasts_a_settling_workload(clock, device):
    """Work that settles after 80 steps is measured in its steady state alone."""

    def step(index, _mark):
        clock.work(10 * MS if index >= 80 else 20 * MS - index * MS // 8)

    measured = measure_steps(step, device=device, settings=QUICK, clock=clock)

    assert measured.steady
    assert measured.first_index >= 80
    assert set(measured.durations_ns) == {10 * MS}


def test_work_that_never_settles_is_flagged_at_the_cap(clock, device):
    """Steps that keep growing reach the cap, are measured all the same, and say so."""

    def step(index, _mark):
        clock.work(round(MS * 1.01 ** min(index, 900)))

    measured = measure_steps(step, device=device, settings=QUICK, clock=clock)

    assert not measured.steady
    assert "not_steady" in measured.flags
    assert "drift" in measured.flags


def test_the_first_iteration_does_not_use_up_the_cap(clock, device):
    """A first step that compiles for longer than the cap leaves the whole cap for settling."""
    measured = measure_steps(
        lambda i, _: clock.work(60_000 * MS if i == 0 else 10 * MS),
        device=device,
        settings=QUICK,
        clock=clock,
    )
    assert measured.steady
    assert measured.warmup_iterations == 3 + 20


@pytest.mark.parametrize(("growth", "flags"), [(1.04, ("drift",)), (1.02, ())])
def test_drift_is_a_difference_of_thirds_beyond_half_the_target(clock, device, growth, flags):
    """With a target of 5 %, thirds that differ by 4 % drift and by 2 % do not."""
    settled = clock.now_ns() + 301 * MS

    def step(_index, _mark):
        late = clock.now_ns() - settled > 500 * MS
        clock.work(round(10 * MS * growth) if late else 10 * MS)

    assert measure_steps(step, device=device, settings=QUICK, clock=clock).flags == flags


def test_too_many_iterations_are_timed_in_groups(clock, device, monkeypatch):
    """When the buffer cannot hold every iteration, durations are those of equal groups, and flagged."""
    monkeypatch.setattr(measure_module, "HOST_SAMPLES", 64)

    measured = measure_steps(lambda _i, _m: clock.work(5 * MS), device=device, settings=QUICK, clock=clock)

    assert measured.group == 7  # twice the 200 iterations expected, in 64 samples
    assert set(measured.durations_ns) == {35 * MS}
    assert measured.iterations == 7 * len(measured.durations_ns)
    assert measured.flags == ("grouped",)


def test_a_full_buffer_ends_the_span_and_is_flagged(clock, device):
    """Work that turns five times faster than in the warm-up fills twice its expected room, then stops."""
    measured = measure_steps(
        lambda i, _: clock.work(10 * MS if i < 30 else 2 * MS), device=device, settings=QUICK, clock=clock
    )
    assert measured.iterations == 200
    assert measured.span_ns == 400 * MS
    assert measured.flags == ("buffer_full",)


def test_phases_window_and_synchronisation_come_in_order(clock, device, log):
    """The window opens on an idle device, holds every measured step, and closes after a wait."""

    @contextmanager
    def window():
        log.append("enter")
        yield
        log.append("exit")

    def step(_index, _mark):
        log.append("step")
        clock.work(400 * MS)

    measured = measure_steps(
        step, device=device, settings=QUICK, clock=clock, window=window(), on_phase=log.append
    )

    assert log[0] == "warmup"
    assert log[-8:] == [
        "measure",
        "enter",
        "synchronize",
        *["step"] * measured.iterations,
        "synchronize",
        "exit",
    ]
    assert log[log.index("measure") - 1] == "synchronize"


def test_collector_is_off_within_the_span_and_back_after(clock, device):
    """Garbage is collected before the span and not within it; a step that raises restores it too."""
    states = []

    def step(index, _mark):
        states.append(gc.isenabled())
        if index == 35:
            raise RuntimeError("step 35")
        clock.work(10 * MS)

    with pytest.raises(RuntimeError, match="step 35"):
        measure_steps(step, device=device, settings=QUICK, clock=clock)

    assert states == [True] * 30 + [False] * 6
    assert gc.isenabled()


def test_nothing_is_allocated_collected_or_printed_within_the_span(clock, device, capfd):
    """From its second step to its last the span holds no more memory, collects nothing and prints nothing."""
    held, collections = np.zeros(2000, np.int64), []
    phase = ["warmup"]

    def collected(stage, _info):
        collections.append((phase[0], stage))

    def step(index, _mark):
        phase[0] = "span" if index >= 3000 else "warmup"
        clock.work(MS // 10)
        if index % 10 == 0 and index >= 3000:
            held[(index - 3000) // 10] = tracemalloc.get_traced_memory()[0]

    gc.callbacks.append(collected)
    tracemalloc.start()
    try:
        measured = measure_steps(step, device=device, settings=QUICK, clock=clock)
    finally:
        tracemalloc.stop()
        gc.callbacks.remove(collected)

    assert measured.first_index == 3000
    seen = held[1 : measured.iterations // 10]
    assert len(seen) > 900
    assert np.ptp(seen) < 1000, "some integers live and die; nothing may pile up"
    assert not [c for c in collections if c[0] == "span"]
    assert capfd.readouterr() == ("", "")


def test_marks_are_times_from_the_iterations_start(clock, device):
    """A mark is timed from its own iteration's start; an iteration that does not pass it shows -1."""

    def step(index, mark):
        clock.work(3 * MS)
        if index % 2:
            mark("first_token")
        clock.work(7 * MS)

    measured = measure_steps(step, device=device, settings=QUICK, clock=clock)

    passed = [3 * MS if (measured.first_index + i) % 2 else -1 for i in range(measured.iterations)]
    assert measured.marks["first_token"].tolist() == passed


def test_steal_is_the_stolen_share_of_the_machine(clock, device, monkeypatch):
    """A tenth of the jiffies stolen is 0.1; a kernel that does not count them gives None, not 0."""
    run = {"device": device, "settings": QUICK, "clock": clock}
    assert measure_steps(lambda _i, _m: clock.work(10 * MS), **run).steal_ratio == pytest.approx(0.1)
    monkeypatch.setattr(device, "counters", lambda: Counters(clock.cpu, 0, None, None))
    assert measure_steps(lambda _i, _m: clock.work(10 * MS), **run).steal_ratio is None


def test_cpu_time_is_that_of_the_span(clock, device):
    """Half-busy steps spend half of the span on the CPU."""
    measured = measure_steps(
        lambda _i, _m: clock.work(10 * MS, cpu_ns=5 * MS), device=device, settings=QUICK, clock=clock
    )
    assert measured.cpu_ns * 2 == measured.span_ns
    assert measured.stretches.clean_share() == 0


def test_the_library_face_measures_on_the_host(monkeypatch):
    """`measure` opens the CPU by name and returns times that add up to at least what was asked for."""
    monkeypatch.setattr("harness.devices.cpu.set_threads", lambda _threads: None)
    settings = TimingSettings(seconds=0.02, warmup_s=0.0, warmup_cap_s=0.02, steady_window_s=0.005)

    measured = measure(lambda: sum(range(1000)), settings=settings)

    assert measured.span_ns >= 0.02e9
    assert measured.durations_ns.sum() <= measured.span_ns
    assert measured.tick_ns is not None


def test_the_library_face_refuses_a_device_that_is_not_there():
    """A device that cannot be used is a typed error with the reason, before anything runs."""
    with pytest.raises(DeviceError, match="no device cpu:1"):
        measure(lambda: None, device="cpu:1")


def test_defaults_are_the_default_preset():
    """The library's defaults are those of the configuration."""
    preset = yaml.safe_load((Path(__file__).parents[3] / "conf/config.yaml").read_text())["measure"]
    ours = asdict(TimingSettings())
    assert ours.pop("target") == preset["target_cpu"]
    assert ours == {key: preset[key] for key in ours}
