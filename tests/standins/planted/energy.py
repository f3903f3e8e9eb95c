"""Faults of sensors: scripted counters, gauges and samplers, through the window and the span's energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from standins.planted.timing import QUICK, span
from standins.planted.world import World, planted
from standins.scripted import ScriptedClock

from harness.energy.estimation import result as result_module
from harness.energy.sampling import sampler as sampler_module
from harness.energy.sampling.ticks import Host
from harness.energy.sampling.trace import ROW, Samples, unpack
from harness.energy.sensors.base import PowerMeter, Reading, SensorError, SensorInfo
from harness.energy.windows import Window
from harness.trial import span_energy
from harness.trial.evidence import all_zero, timing_evidence

COUNTER = SensorInfo(
    "scripted", "0", "Scripted", "counter", "gpu", update_period_s=0.001, gain_uncertainty=0.0, aliases=False
)
GAUGE = SensorInfo("scripted", "0", "Scripted", "instant", "gpu", update_period_s=0.01, gain_uncertainty=0.0)
EVENTS = SensorInfo("scripted", "0", "Scripted", "events", "gpu")
WATTS, STEP_S = 200.0, 0.01
HEAT = 0x40
Says = Callable[[float], float | None]
"""What the sensor says at so many seconds into the span; None where the sampler misses its turn."""


class Script(PowerMeter):
    """Says what it is told to at each read; an error is raised."""

    source = "scripted"

    def __init__(
        self, clock: ScriptedClock, reads: Sequence[float | SensorError], *sensors: SensorInfo
    ) -> None:
        self.device, self.sensors = "0", sensors
        self._clock, self._reads = clock, list(reads)

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """There is no telling without a script."""
        raise NotImplementedError

    @classmethod
    def open(cls, device: str) -> Script:
        """There is no opening without a script."""
        raise NotImplementedError

    def read(self, sensor: SensorInfo) -> Reading:
        """Read the counter: before the span, then after it."""
        reported = self._reads.pop(0)
        if isinstance(reported, SensorError):
            raise reported
        return Reading(self._clock.now, self._clock.now, energy_j=reported)


def metered(
    world: World,
    reads: Sequence[float | SensorError],
    *sensors: SensorInfo,
    sampler: Callable[[ScriptedClock], Any] | None = None,
    iteration_ms: float = 5,
    alone: bool = True,
) -> dict[str, Any]:
    """Measure a span of 2 s (or 400 iterations) under a window, and return what a record says of it."""
    world.monkeypatch.setenv("XDG_CACHE_HOME", str(world.folder))
    clock = ScriptedClock()
    if sampler is not None:
        world.monkeypatch.setattr(sampler_module, "Sampler", lambda *_told: sampler(clock))
    window = Window(
        [Script(clock, reads, *sensors)], None if sampler is None else 100.0, 0.0, Host(lambda: clock.now)
    )
    settings = replace(QUICK, seconds=0.4 * iteration_ms)
    measured = span(lambda _measured, _since: iteration_ms, clock=clock, window=window, settings=settings)

    def shifted() -> Any:
        raise AssertionError("nothing is to be measured again")

    spent = span_energy.span_energy(window.result, measured, shifted, alone=alone)
    zero = all_zero(measured, (), span_energy.zero_metrics(window.result))
    return timing_evidence(measured) | zero | spent.evidence()


class ScriptedSampler:
    """Stands in for the sampler: rows of one sensor as `sampler.c` writes them, over scripted time."""

    def __init__(
        self,
        clock: ScriptedClock,
        power: Says,
        sensor: SensorInfo = GAUGE,
        *,
        failed_at_s: float | None = None,
        lost: int = 0,
        events: int | None = None,
    ) -> None:
        self._clock, self._power, self._sensor, self._began = clock, power, sensor, clock.now
        self._failed_at_s, self._lost, self._events = failed_at_s, lost, events

    def stop(self) -> tuple[Samples, ...]:
        """Return what was sampled since it began."""
        rows = []
        for turn in range(round((self._clock.now - self._began) / 1e9 / STEP_S) + 1):
            at_s = turn * STEP_S
            at_ns, watts = self._began + round(at_s * 1e9), self._power(at_s)
            failed = self._failed_at_s is not None and abs(at_s - self._failed_at_s) < STEP_S / 2
            if watts is not None:
                rows.append(ROW.pack(at_ns, at_ns, 0.0 if failed else watts, 0, 999 if failed else 0))
            if self._events is not None:
                rows.append(ROW.pack(at_ns, at_ns, float(self._events), 1, 0))
        sensors = (self._sensor,) if self._events is None else (self._sensor, EVENTS)
        return unpack(b"".join(rows), sensors, self._lost)


def counted(world: World, last_j: float | SensorError, **facts: Any) -> dict[str, Any]:
    """Meter by a counter that begins at 1000 J; 400 J are those of 200 W."""
    return metered(world, [1000.0, last_j], replace(COUNTER, **facts))


def sampled(world: World, power: Says = lambda _s: WATTS, **options: Any) -> dict[str, Any]:
    """Meter by a gauge that is sampled every 10 ms."""
    gauge = options.get("sensor", GAUGE)
    return metered(world, [], gauge, sampler=lambda clock: ScriptedSampler(clock, power, **options))


@planted("sensor_error")
def _a_counter_is_lost_within_the_span(world: World, fault: bool) -> dict[str, Any]:
    return counted(world, SensorError("the device is lost") if fault else 1400.0)


@planted("counter_reset")
def _a_counter_begins_anew(world: World, fault: bool) -> dict[str, Any]:
    return counted(world, 400.0 if fault else 1400.0)


@planted("counter_jumped")
def _a_counter_jumps_by_a_megajoule(world: World, fault: bool) -> dict[str, Any]:
    return counted(world, 1e6 if fault else 1400.0)


@planted("counter_jumped")
def _a_counter_may_have_wrapped_more_than_once(world: World, fault: bool) -> dict[str, Any]:
    return counted(world, 1400.0, wrap_j=2000.0 if fault else 2e6)


@planted("counter_stuck")
def _a_counter_stands_still(world: World, fault: bool) -> dict[str, Any]:
    return counted(world, 1000.0 if fault else 1400.0)


@planted("counter_stuck")
def _a_counter_stops_half_way(world: World, fault: bool) -> dict[str, Any]:
    def joules(seconds: float) -> float:
        return 1000.0 + WATTS * (min(seconds, 1.0) if fault else seconds)

    reads = [1000.0, joules(2.0)]
    return metered(world, reads, COUNTER, sampler=lambda clock: ScriptedSampler(clock, joules, COUNTER))


@planted("sensor_coarse")
def _a_counter_that_is_renewed_every_four_seconds(world: World, fault: bool) -> dict[str, Any]:
    return counted(world, 1400.0, update_period_s=4.0 if fault else 0.001)


@planted("sensor_unknown")
def _a_counter_that_nobody_probed(world: World, fault: bool) -> dict[str, Any]:
    return counted(world, 1400.0, update_period_s=None if fault else 0.001)


@planted("sensor_aliased")
def _ranks_in_step_with_a_counter(world: World, fault: bool) -> dict[str, Any]:
    ms = 100 if fault else 37
    reads = [1000.0, 1000.0 + WATTS * 0.4 * ms]
    duty_cycled = replace(COUNTER, update_period_s=0.1, aliases=None)
    return metered(world, reads, duty_cycled, iteration_ms=ms, alone=False)


def _against_a_gauge(world: World, surplus: float) -> dict[str, Any]:
    reads = [1000.0, 1000.0 + 400.0 * (1 + surplus)]
    return metered(
        world, reads, COUNTER, GAUGE, sampler=lambda clock: ScriptedSampler(clock, lambda _s: WATTS)
    )


@planted("sensors_disagree")
def _a_counter_says_three_per_cent_more(world: World, fault: bool) -> dict[str, Any]:
    return _against_a_gauge(world, 0.03 if fault else 0.0)


@planted("sensors_conflict")
def _a_counter_says_ten_per_cent_more(world: World, fault: bool) -> dict[str, Any]:
    return _against_a_gauge(world, 0.1 if fault else 0.0)


@planted("sensor_gap")
def _a_sampler_pauses_for_a_second(world: World, fault: bool) -> dict[str, Any]:
    return sampled(world, lambda s: None if fault and 0.5 < s < 1.5 else WATTS)


@planted("sensor_gap")
def _a_ring_overwrites_rows(world: World, fault: bool) -> dict[str, Any]:
    return sampled(world, lost=3 if fault else 0)


@planted("sensor_error")
def _one_sample_fails(world: World, fault: bool) -> dict[str, Any]:
    return sampled(world, failed_at_s=1.0 if fault else None)


@planted("sensor_error", "sensor_gap")
def _a_sampler_does_not_start(world: World, fault: bool) -> dict[str, Any]:
    def start(clock: ScriptedClock) -> ScriptedSampler:
        if fault:
            raise SensorError("no thread can be started")
        return ScriptedSampler(clock, lambda _s: WATTS)

    return metered(world, [], GAUGE, sampler=start)


@planted("sensor_implausible")
def _a_gauge_says_0_w_once(world: World, fault: bool) -> dict[str, Any]:
    return sampled(world, lambda s: 0.0 if fault and abs(s - 1) < STEP_S / 2 else WATTS)


@planted("all_zero")
def _memory_that_draws_nothing(world: World, fault: bool) -> dict[str, Any]:
    return sampled(world, lambda _s: 0.0 if fault else 3.0, sensor=replace(GAUGE, scope="memory"))


@planted("throttled")
def _events_say_that_heat_slowed_it(world: World, fault: bool) -> dict[str, Any]:
    return sampled(world, events=HEAT if fault else 0)


@planted("sensor_other")
def _a_flag_of_a_later_estimator(world: World, fault: bool) -> dict[str, Any]:
    if fault:
        world.monkeypatch.setattr(result_module, "trace_flags", lambda *_told: ["clock_skewed"])
    return sampled(world)
