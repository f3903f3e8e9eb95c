"""Spans of an accelerator, timed by its own events, in scripted time."""

from __future__ import annotations

from importlib import import_module

from standins.scripted import QUICK

from harness.timing import measure_steps

# The package's function of the same name hides the module.
measure_module = import_module("harness.timing.measure")
MS = 1_000_000


def test_events_time_the_device_while_the_host_runs_ahead(accelerator, clock, stream):
    """The span runs a fixed number of steps without a wait; durations are the device's own."""
    waits = []
    synchronize = accelerator.synchronize
    accelerator.synchronize = lambda: (waits.append(clock.now), synchronize())

    def step(_index, _mark):
        waits.append("step")
        stream.launch(10 * MS)

    measured = measure_steps(step, device=accelerator, settings=QUICK, clock=clock)

    assert measured.clock == "device events"
    assert measured.iterations == 100  # 1 s of the warm-up's 10 ms
    assert measured.durations_ns[1:].tolist() == [10 * MS] * 99
    assert measured.span_ns == 100 * 10 * MS + 1_000  # the first launch is not hidden
    assert measured.host_ns == 100 * 1_000
    assert waits[-101:-1] == ["step"] * 100
    assert measured.stretches is None
    assert measured.tick_ns == 32
    assert measured.flags == ()


def test_events_time_marks_on_the_device(accelerator, clock, stream):
    """A mark on an accelerator is when its work was done, not when the host said so."""

    def step(_index, mark):
        stream.launch(4 * MS)
        mark("first_token")
        stream.launch(6 * MS)

    measured = measure_steps(step, device=accelerator, settings=QUICK, clock=clock)

    assert measured.marks["first_token"][1:].tolist() == [4 * MS] * (measured.iterations - 1)


def test_many_device_iterations_share_events(accelerator, clock, stream, monkeypatch):
    """Too many iterations for an event each are timed in groups, all of one length."""
    monkeypatch.setattr(measure_module, "EVENT_SAMPLES", 30)

    measured = measure_steps(
        lambda _i, _m: stream.launch(10 * MS), device=accelerator, settings=QUICK, clock=clock
    )

    assert measured.group == 4
    assert measured.iterations == 100
    assert measured.durations_ns[1:].tolist() == [40 * MS] * 24
