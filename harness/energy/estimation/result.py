"""The energy of one window: each device's, and their total where it has a meaning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import chain, pairwise
from statistics import fmean, median, stdev
from typing import Any

from harness.energy.estimation.aligned import LEAST_TICKS, aligned_energy, guard_power
from harness.energy.estimation.counter import quantum_j
from harness.energy.estimation.estimate import (
    Estimate,
    Idle,
    Span,
    counter_energy,
    gauge_energy,
    idle_power,
    rest_power,
    update_period_s,
)
from harness.energy.estimation.power_trace import cross_check, incomplete, largest_w, trace_flags
from harness.energy.sampling.ticks import Tick
from harness.energy.sampling.trace import Samples
from harness.energy.sensors.base import Activity, EventTimes, PowerMeter, Reading, Scope, SensorInfo
from harness.energy.sensors.none import NullMeter

SPARSE = "counter_sparse"
"""Method of a counter that polling disturbs: between ticks that were found with a few reads."""
MISFIT = 0.25
"""A counter that ticks at another pace than was probed, by this share, is believed, and not the probe."""


@dataclass(frozen=True, slots=True)
class DeviceEnergy:
    """One device's energy over the window; None where it is not known, with the reason."""

    source: str
    device: str
    label: str
    scope: Scope | None
    in_total: bool
    """False for a device that is no part of the total, e.g. memory beside packages."""
    method: str
    joules: float | None = None
    u_joules: float | None = None
    """Standard uncertainty, repeatability."""
    u_absolute_joules: float | None = None
    """Standard uncertainty with the sensor's gain in it."""
    mean_w: float | None = None
    peak_w: float | None = None
    idle_w: float | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None
    events: EventTimes | None = None
    """For how long what held the clocks down, from the first guard to the last; None: not counted."""
    activity: Activity | None = None
    """How much of its parts was in use over the span, pauses included; None: not counted."""
    power_trace: str | None = None
    """The sensor whose trace shows power best: the driver's own samples, else what was polled."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why it does not have what others of its source have, by kind of sensor."""
    sensors: tuple[SensorInfo, ...] = ()
    """With the update periods that this window observed."""


@dataclass(frozen=True, slots=True)
class EnergyResult:
    """Energy over a window. The totals are None as soon as one device in them is."""

    span_s: float
    """Of the work, pauses left out."""
    span_ns: Span
    """Start and end on `time.perf_counter_ns`."""
    joules: float | None
    u_joules: float | None
    u_absolute_joules: float | None
    method: str
    mean_w: float | None
    peak_w: float | None
    idle_w: float | None
    flags: tuple[str, ...]
    reason: str | None
    devices: tuple[DeviceEnergy, ...]
    trace: tuple[Samples, ...] = ()
    inputs: tuple[Evidence, ...] = ()
    """What was read of each device's meter, in their order."""

    def evidence(self) -> dict[str, Any]:
        """Return everything but what was read as plain data for a record."""
        apart = {"devices", "trace", "inputs"}
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        return {**plain, "devices": [asdict(device) for device in self.devices]}


@dataclass(frozen=True, slots=True)
class KeptMeter:
    """What a record still knows of a meter that was read."""

    source: str
    device: str
    sensors: tuple[SensorInfo, ...]
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read of one meter: once before and once after the span and its guards, and the samples."""

    meter: PowerMeter | KeptMeter
    info: SensorInfo | None = None
    """The first sensor's facts with what was probed of it."""
    first: Reading | None = None
    last: Reading | None = None
    samples: tuple[Samples, ...] = ()
    sampler_problem: str | None = None
    """Why there are no samples although they were wanted."""
    reason: str | None = None
    """Why the edges could not be read."""
    spans: tuple[Span, ...] = ()
    """The parts of the span that are work."""
    rests: tuple[Sequence[Reading], ...] = ()
    """Reads at the ends of idle time before and after the span, where the counter is not polled."""
    before: tuple[Tick, ...] | None = None
    """The counter's ticks in the guard before the span; None is a window without polled guards."""
    after: tuple[Tick, ...] | None = None
    blurs_s: tuple[float, float] | None = None
    """Of ticks that were found with a few reads: standard uncertainty of time that a guard's ticks share."""
    nearest: Tick | None = None
    """Then the first tick after the work."""
    events: EventTimes | None = None
    activity: Activity | None = None


def device_energy(evidence: Evidence, span: Span, *, in_total: bool) -> DeviceEnergy:
    """Judge one device from what was read of it.

    Args:
        evidence: the readings.
        span: start and end of the work in ns.
        in_total: whether the device is part of the window's total.
    """
    meter = evidence.meter
    if isinstance(meter, NullMeter):
        return DeviceEnergy(
            "none", meter.device, meter.label, meter.scope, in_total, "none", reason=meter.reason
        )
    by_sensor = {s.sensor: s for s in evidence.samples}
    facts = (evidence.info or meter.sensors[0], *meter.sensors[1:])
    sensors = tuple(
        _observed(fact, by_sensor.get(sensor)) for fact, sensor in zip(facts, meter.sensors, strict=True)
    )
    main, trace = sensors[0], by_sensor.get(meter.sensors[0])
    gauges = {s.sensor.kind: s for s in reversed(evidence.samples) if s.sensor.scope == main.scope}
    gauge, buffered = gauges.get("instant"), gauges.get("buffered")
    idle = _idle(evidence, main, gauge)
    flags = ["sampler_failed"] if evidence.sampler_problem else []
    estimate = _estimate(main, evidence, trace, span, idle)
    if estimate.method == "counter_unaligned" and evidence.before is not None:
        flags.append("guards_unusable")
    if main.kind == "counter" and gauge is not None:
        flags += cross_check(estimate, gauge, span)
    for samples in evidence.samples:
        if samples is not buffered:  # where it is not whole, what was polled stands in, with the reason
            flags += trace_flags(samples, span)
    power_trace = gauge if main.kind == "counter" else gauge or trace
    missing = dict(meter.missing)
    if any(s.kind == "buffered" for s in meter.sensors):
        untold = evidence.sampler_problem or "no power trace was taken"
        why_not = incomplete(buffered, span) if evidence.samples else untold
        power_trace = power_trace if why_not else buffered
        missing |= {"buffered": why_not} if why_not else {}
    work_s = _work_s(evidence, span)
    return DeviceEnergy(
        meter.source,
        meter.device,
        main.label,
        main.scope,
        in_total,
        estimate.method,
        estimate.joules,
        estimate.u_joules,
        estimate.u_absolute_joules,
        mean_w=estimate.joules / work_s if estimate.joules is not None else None,
        peak_w=largest_w([gauge or power_trace or trace, power_trace], span),
        idle_w=idle.watts if idle is not None else None,
        flags=tuple(dict.fromkeys([*estimate.flags, *flags])),
        reason=estimate.reason,
        events=evidence.events,
        activity=evidence.activity,
        power_trace=None if power_trace is None else power_trace.sensor.id,
        missing=missing,
        sensors=sensors,
    )


def total(
    devices: tuple[DeviceEnergy, ...], trace: tuple[Samples, ...], span: Span, work_s: float | None = None
) -> EnergyResult:
    """Add up the devices that are part of the total.

    `work_s` is the span without its pauses, where there were any.

    Repeatability adds in squares; the gains of like sensors may err together, so their parts add plainly.
    """
    parts = [d for d in devices if d.in_total]
    joules = _sum([d.joules for d in parts])
    u_joules = absolute = None
    if joules is not None and (us := _known([d.u_joules for d in parts])) is not None:
        u_joules = math.hypot(*us)
        gains = [
            math.sqrt(max(0.0, (d.u_absolute_joules or 0.0) ** 2 - u * u))
            for d, u in zip(parts, us, strict=True)
        ]
        absolute = math.hypot(u_joules, sum(gains))
    span_s = (span[1] - span[0]) * 1e-9 if work_s is None else work_s
    return EnergyResult(
        span_s,
        span,
        joules,
        u_joules,
        absolute,
        "+".join(dict.fromkeys(d.method for d in parts)),
        mean_w=joules / span_s if joules is not None and span_s > 0 else None,
        peak_w=_peak(parts, trace, span),
        idle_w=_sum([d.idle_w for d in parts]),
        flags=tuple(dict.fromkeys(chain.from_iterable(d.flags for d in parts))),
        reason="; ".join(dict.fromkeys(d.reason for d in parts if d.reason)) or None,
        devices=devices,
        trace=trace,
    )


def _work_s(evidence: Evidence, span: Span) -> float:
    """Return the seconds of work in the span, without its pauses."""
    return sum(end - start for start, end in evidence.spans or (span,)) * 1e-9


def _idle(evidence: Evidence, main: SensorInfo, gauge: Samples | None) -> Idle | None:
    """Return idle power from the guards' ticks, else from the samples in the guard before the span."""
    if evidence.before and evidence.after:
        guards = [guard_power(main, ticks) for ticks in (evidence.before, evidence.after)]
        known = [p for p in guards if p is not None]
        levels = [p.watts for p in known]
        return Idle(fmean(levels), math.hypot(*(p.u_watts for p in known)) / len(known)) if known else None
    if not all(len(rest) == 2 for rest in evidence.rests) or not evidence.rests:
        return None
    spans = [(rest[0].t1_ns, rest[1].t0_ns) for rest in evidence.rests]
    seen = [idle_power(gauge, span) for span in spans] if gauge is not None else []
    powers = [p for p in (seen or [rest_power(main, rest) for rest in evidence.rests]) if p is not None]
    if len(powers) < len(spans):
        return None
    watts = [p.watts for p in powers]
    return Idle(fmean(watts), math.hypot(*(p.u_watts for p in powers), stdev(watts) / 2) / 2)


def _observed(sensor: SensorInfo, samples: Samples | None) -> SensorInfo:
    """Return a counter's facts with the update period that its samples show, where they show another."""
    if samples is None or sensor.kind != "counter":
        return sensor
    seen_s, known_s = update_period_s(samples), sensor.update_period_s
    if known_s is not None:
        steps = [b - a for a, b in pairwise(samples.t0_ns)]
        blurred = not steps or seen_s is None or seen_s < 3 * median(steps) * 1e-9
        if blurred or abs(seen_s / known_s - 1) < MISFIT:  # type: ignore[operator]
            return sensor
    return replace(sensor, update_period_s=seen_s)


def _estimate(
    info: SensorInfo, evidence: Evidence, trace: Samples | None, span: Span, idle: Idle | None
) -> Estimate:
    """Estimate a device's energy from its first sensor, by what kind of sensor that is."""
    if evidence.reason is not None:
        return Estimate("none", flags=("sensor_error",), reason=evidence.reason)
    if info.kind == "counter":
        return _from_counter(info, evidence, trace, span, idle)
    if trace is None:
        why = evidence.sampler_problem or "a power gauge needs samples"
        return Estimate("gauge_hold", flags=("sample_gap",), reason=why)
    return gauge_energy(info, trace, span)


def _from_counter(
    info: SensorInfo, evidence: Evidence, trace: Samples | None, span: Span, idle: Idle | None
) -> Estimate:
    if evidence.first is None or evidence.last is None:
        return Estimate(
            "counter_unaligned", flags=("sensor_error",), reason="the counter was not read at both edges"
        )
    between: list[Reading] = []
    if trace is not None:
        inside = trace.between(evidence.first.t1_ns, evidence.last.t0_ns)
        if inside.failed:
            return Estimate(
                "counter_unaligned", flags=("sensor_error",), reason="the sensor failed during the span"
            )
        between = list(inside.readings())
    # The probe saw idle power, whose increments may all be alike; work shows how finely the counter counts.
    seen = [*(t.reading for t in evidence.before or ()), *between, *(t.reading for t in evidence.after or ())]
    seen.sort(key=lambda r: r.t0_ns)
    reported = evidence.meter.sensors[0]
    step_j = quantum_j(reported, [r.energy_j for r in seen if r.energy_j is not None])
    info = info if step_j is None else replace(info, quantum=step_j)
    if len(evidence.before or ()) >= LEAST_TICKS and len(evidence.after or ()) >= LEAST_TICKS:
        assert evidence.before is not None
        assert evidence.after is not None
        spans = evidence.spans or (span,)
        if evidence.blurs_s is None:
            return aligned_energy(info, evidence.before, evidence.after, spans, between)
        found = aligned_energy(
            info, evidence.before, evidence.after, spans, between, evidence.blurs_s, evidence.nearest
        )
        return replace(found, method=SPARSE)
    first, last = evidence.first, evidence.last
    if idle is not None and evidence.rests:
        first, last = evidence.rests[0][0], evidence.rests[1][1]
    pause_s = (span[1] - span[0]) * 1e-9 - _work_s(evidence, span)
    return counter_energy(info, [first, *between, last], span, idle, pause_s)


def _peak(parts: Sequence[DeviceEnergy], trace: tuple[Samples, ...], span: Span) -> float | None:
    """Return the peak of the summed power: a round of the sampler reads all at nearly one moment."""
    if len(parts) == 1:
        return parts[0].peak_w
    wanted = {(d.source, d.device, d.scope) for d in parts}
    gauges = [
        s
        for s in trace
        if s.sensor.kind == "instant" and (s.sensor.source, s.sensor.device, s.sensor.scope) in wanted
    ]
    if len(gauges) != len(parts) or not parts:
        return None
    rounds = zip(*(g.between(*span).readings() for g in gauges), strict=False)
    return max((sum(r.power_w or 0.0 for r in one) for one in rounds), default=None)


def _known(values: Sequence[float | None]) -> list[float] | None:
    known = [v for v in values if v is not None]
    return known if known and len(known) == len(values) else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = _known(values)
    return sum(known) if known is not None else None
