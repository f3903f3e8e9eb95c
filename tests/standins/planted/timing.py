"""Faults of timing: work and clocks that are scripted, up to what a record says of the span."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from standins.planted.world import World, planted
from standins.scripted import (
    ScriptedAccelerator,
    ScriptedClock,
    ScriptedDevice,
    ScriptedEvent,
    ScriptedStream,
)

from harness.execution.session import Session
from harness.timing import Measurement, SoakSettings, TimingSettings, measure_steps, soak
from harness.trial.device_state import soak_evidence
from harness.trial.evidence import all_zero, timing_evidence

MS = 1_000_000
QUICK = TimingSettings(
    seconds=2.0, min_iterations=3, warmup_s=0.2, warmup_iterations=3, warmup_cap_s=5.0, steady_window_s=0.2
)
FEW = ("few_for_p50", "few_for_p90", "few_for_p99")
Length = Callable[[bool, float], float]
"""Milliseconds of a step, from whether it is of the span and the seconds since the phase began."""


def span(
    length: Length,
    *,
    settings: TimingSettings = QUICK,
    clock: ScriptedClock | None = None,
    device: ScriptedDevice | None = None,
    stolen_percent: int = 0,
    window: AbstractContextManager[Any] | None = None,
) -> Measurement:
    """Measure a scripted step; 5 ms throughout leave nothing to doubt."""
    clock = clock or ScriptedClock()
    device = device or ScriptedDevice(clock, [])
    device.stolen_percent = stolen_percent
    phases: list[tuple[str, int]] = []

    def step(_index: int, _mark: Callable[[str], None]) -> None:
        phase, began = phases[-1]
        clock.work(round(length(phase == "measure", (clock.now - began) / 1e9) * MS))

    return measure_steps(
        step,
        device=device,
        settings=settings,
        clock=clock,
        window=window or nullcontext(),
        on_phase=lambda phase: phases.append((phase, clock.now)),
    )


def steady_span(**options: Any) -> Measurement:
    """Measure 400 iterations of 5 ms."""
    return span(lambda _measured, _since: 5, **options)


@planted("not_steady")
def _slower_until_the_cap(_world: World, fault: bool) -> dict[str, Any]:
    return timing_evidence(span(lambda measured, s: 5 * 1.1**s if fault and not measured else 5))


@planted("drift")
def _slower_within_the_span(_world: World, fault: bool) -> dict[str, Any]:
    return timing_evidence(span(lambda measured, s: 6 if fault and measured and s > 1.4 else 5))


@planted("drift_unknown", "few_for_p90", "few_for_p99")
def _eight_iterations(_world: World, fault: bool) -> dict[str, Any]:
    return timing_evidence(span(lambda _measured, _since: 250 if fault else 5))


@planted("stalled")
def _stopped_by_a_signal(_world: World, fault: bool) -> dict[str, Any]:
    """Once, for 1.2 s, after a second of the span."""
    left = [1200.0] if fault else []
    return timing_evidence(span(lambda measured, s: 2 + left.pop() if left and measured and s > 1.0 else 2))


@planted("buffer_full")
def _five_times_faster_than_in_the_warm_up(_world: World, fault: bool) -> dict[str, Any]:
    return timing_evidence(span(lambda measured, _since: 1 if fault and measured else 5))


@planted("grouped")
def _room_for_64_samples(world: World, fault: bool) -> dict[str, Any]:
    if fault:
        world.monkeypatch.setattr(importlib.import_module("harness.timing.measure"), "HOST_SAMPLES", 64)
    return timing_evidence(steady_span())


@planted("few_samples", "drift_unknown", *FEW)
def _one_iteration(_world: World, fault: bool) -> dict[str, Any]:
    settings = replace(QUICK, min_iterations=1, warmup_cap_s=60)
    return timing_evidence(span(lambda _measured, _since: 2000 if fault else 5, settings=settings))


@planted("few_for_p50", "drift_unknown", "few_for_p90", "few_for_p99")
def _five_iterations(_world: World, fault: bool) -> dict[str, Any]:
    return timing_evidence(span(lambda _measured, _since: 400 if fault else 5))


@planted("few_for_p90", "few_for_p99")
def _twenty_iterations(_world: World, fault: bool) -> dict[str, Any]:
    return timing_evidence(span(lambda _measured, _since: 100 if fault else 5))


@planted("few_for_p99")
def _two_hundred_iterations(_world: World, fault: bool) -> dict[str, Any]:
    return timing_evidence(span(lambda _measured, _since: 10 if fault else 5))


class TickingClock(ScriptedClock):
    """A clock that shows whole ticks only, and takes 20 µs to read."""

    tick_ns = 15_625_000

    def now_ns(self) -> int:
        """Return the last tick."""
        self.now += 20_000
        return self.now - self.now % self.tick_ns


@planted("timer_coarse")
def _ticks_of_16_ms_for_a_second(_world: World, fault: bool) -> dict[str, Any]:
    clock = TickingClock()
    clock.tick_ns = clock.tick_ns if fault else 1
    settings = replace(QUICK, seconds=400, warmup_cap_s=60, steady_window_s=20)
    return timing_evidence(span(lambda _measured, _since: 1000, settings=settings, clock=clock))


@planted("cpu_steal")
def _a_tenth_is_stolen(_world: World, fault: bool) -> dict[str, Any]:
    return timing_evidence(steady_span(stolen_percent=10 if fault else 0))


@planted("all_zero")
def _events_of_a_timer_that_stopped(world: World, fault: bool) -> dict[str, Any]:
    clock = ScriptedClock()
    stream = ScriptedStream(clock)
    device = ScriptedAccelerator(clock, [], stream)

    def stop() -> None:
        if fault:
            world.monkeypatch.setattr(ScriptedEvent, "elapsed_time", lambda _begin, _end: 0.0)

    device.stolen_percent = 0
    measured = measure_steps(
        lambda _index, _mark: stream.launch(5 * MS),
        device=device,
        settings=QUICK,
        clock=clock,
        on_phase=lambda phase: stop() if phase == "measure" else None,
    )
    return timing_evidence(measured) | all_zero(measured, ())


@planted("soak_not_steady")
def _a_soak_that_slows_to_its_cap(_world: World, fault: bool) -> dict[str, Any]:
    clock = ScriptedClock()
    stream = ScriptedStream(clock)
    found = soak(
        lambda _index, _mark: stream.launch(round((10 * 1.01 ** (clock.now / 15e9) if fault else 10) * MS)),
        device=ScriptedAccelerator(clock, [], stream),
        settings=SoakSettings(),
        clock=clock,
    )
    config = SimpleNamespace(
        device=SimpleNamespace(hardware="cuda", index=0), measure=SimpleNamespace(soak=True)
    )
    return Session({"cuda-0": soak_evidence(found)}).evidence(SimpleNamespace(config=config))
