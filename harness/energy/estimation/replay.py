"""A window's energy made again: from the few readings that a record keeps, and from the trace beside it.

`kept` returns what is in neither the evidence of a window nor its trace: the counter's readings at the edges
and in the guards, and what was known of a sensor before the window observed it. `remade` puts the three
together and judges them by the rules that judged the window itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from typing import Any, cast

from harness.energy.estimation.result import EnergyResult, Evidence, KeptMeter, device_energy, total
from harness.energy.sampling.ticks import Tick
from harness.energy.sampling.trace import Samples
from harness.energy.sensors.base import UNITS, Kind, Reading, Scope, SensorInfo
from harness.energy.sensors.none import NullMeter

MOST_ROWS = 300_000
"""Of a trace from which energy is made again: of a sensor most of an hour at 100 Hz."""
Facts = dict[str, Any]
_CODES = "qqdi"
"""Types of the columns of `Samples`."""
Columns = Sequence[Any]
"""`t0_ns`, `t1_ns`, `value` and `status` of one series, numpy arrays of one length; NaN is no value."""


def kept(result: EnergyResult) -> Facts:
    """Return what a record keeps of a window beside its evidence and its trace, as plain data.

    Returns:
        `devices`, for each in their order what was read of it, None where nothing could be; `unordered` is
        true where a sensor's own times went back, an order that a trace does not keep.
    """
    back = any(b < a for samples in result.trace for a, b in pairwise(samples.t0_ns))
    devices = [_kept(one, shown.sensors) for one, shown in zip(result.inputs, result.devices, strict=True)]
    return {"devices": devices, "unordered": back}


def remade(shown: Mapping[str, Any], facts: Mapping[str, Any], trace: Mapping[str, Columns]) -> EnergyResult:
    """Return the energy of a window by the rules of this version.

    Args:
        shown: from `EnergyResult.evidence`: the devices with their sensors, and the span.
        facts: from `kept`.
        trace: by the id of a sensor what was sampled of it.

    Raises:
        ValueError, KeyError, TypeError, ArithmeticError, AttributeError, IndexError, AssertionError: they
            are not what was kept.
    """
    begin_ns, end_ns = shown["span_ns"]
    inputs = [
        _evidence(device, one, trace) for device, one in zip(shown["devices"], facts["devices"], strict=True)
    ]
    known = {samples.sensor.id for one in inputs for samples in one.samples}
    states = tuple(_samples(_state(series), trace) for series in trace if series not in known)
    samples = (*(samples for one in inputs for samples in one.samples), *states)
    devices = tuple(
        replace(
            device_energy(one, (begin_ns, end_ns), in_total=bool(device["in_total"])),
            events=device["events"],
            activity=device["activity"],
        )
        for device, one in zip(shown["devices"], inputs, strict=True)
    )
    spans = next((one.spans for one in inputs if one.spans), ((begin_ns, end_ns),))
    work_s = sum(b - a for a, b in spans) * 1e-9
    return replace(total(devices, samples, (begin_ns, end_ns), work_s), inputs=tuple(inputs))


def _kept(evidence: Evidence, shown: Sequence[SensorInfo]) -> Facts | None:
    meter = evidence.meter
    if isinstance(meter, NullMeter):
        return None
    info = evidence.info or meter.sensors[0]
    found: Facts = {
        "sensors": [_apart(own, seen) for own, seen in zip(meter.sensors, shown, strict=True)],
        "info": _apart(info, shown[0]),
        "sampled": {samples.sensor.id: samples.lost for samples in evidence.samples},
        "spans": [list(span) for span in evidence.spans],
        "first": None if evidence.first is None else _plain(evidence.first),
        "last": None if evidence.last is None else _plain(evidence.last),
        "rests": [[_plain(reading) for reading in rest] for rest in evidence.rests],
        "before": None if evidence.before is None else [_tick(one) for one in evidence.before],
        "after": None if evidence.after is None else [_tick(one) for one in evidence.after],
        "nearest": None if evidence.nearest is None else _tick(evidence.nearest),
        "blurs_s": None if evidence.blurs_s is None else list(evidence.blurs_s),
        "sampler_problem": evidence.sampler_problem,
        "reason": evidence.reason,
    }
    return {name: value for name, value in found.items() if value is not None and value != {}}


def _evidence(shown: Mapping[str, Any], one: Facts | None, trace: Mapping[str, Columns]) -> Evidence:
    device, scope = str(shown["device"]), cast("Scope | None", shown["scope"])
    if one is None:
        return Evidence(NullMeter(device, shown["reason"], label=shown["label"], scope=scope))
    seen = [SensorInfo(**sensor) for sensor in shown["sensors"]]
    sensors = tuple(
        replace(sensor, **own) for sensor, own in zip(seen, one.get("sensors", [{}] * len(seen)), strict=True)
    )
    info = replace(seen[0], **one.get("info", {}))
    by_id = {sensor.id: sensor for sensor in sensors}
    reads = partial(_reading, counter=info.kind == "counter")
    ticks = partial(_unticked, counter=info.kind == "counter")
    return Evidence(
        KeptMeter(str(shown["source"]), device, sensors, dict(shown["missing"])),
        info,
        reads(one["first"]) if "first" in one else None,
        reads(one["last"]) if "last" in one else None,
        tuple(_samples(by_id[series], trace, lost) for series, lost in one.get("sampled", {}).items()),
        one.get("sampler_problem"),
        one.get("reason"),
        spans=tuple((begin, end) for begin, end in one["spans"]),
        rests=tuple([reads(row) for row in rest] for rest in one["rests"]),
        before=tuple(map(ticks, one["before"])) if "before" in one else None,
        after=tuple(map(ticks, one["after"])) if "after" in one else None,
        blurs_s=tuple(one["blurs_s"]) if "blurs_s" in one else None,
        nearest=ticks(one["nearest"]) if "nearest" in one else None,
    )


def _apart(own: SensorInfo, seen: SensorInfo) -> Facts:
    """Return the facts in which a sensor differed before the window observed it."""
    mine, theirs = asdict(own), asdict(seen)
    return {name: value for name, value in mine.items() if value != theirs[name]}


def _plain(reading: Reading) -> list[int | float | None]:
    return [reading.t0_ns, reading.t1_ns, reading.power_w if reading.energy_j is None else reading.energy_j]


def _reading(row: Sequence[Any], *, counter: bool) -> Reading:
    begin_ns, end_ns, value = row
    return Reading(begin_ns, end_ns, value, None) if counter else Reading(begin_ns, end_ns, None, value)


def _tick(tick: Tick) -> list[int | float | None]:
    return [tick.since_ns, *_plain(tick.reading)]


def _unticked(row: Sequence[Any], *, counter: bool) -> Tick:
    since_ns, *reading = row
    return Tick(since_ns, _reading(reading, counter=counter))


def _samples(sensor: SensorInfo, trace: Mapping[str, Columns], lost: int = 0) -> Samples:
    columns: list[Any] = [array(code) for code in _CODES]
    for column, numbers, code in zip(columns, trace.get(sensor.id, ()), _CODES, strict=False):
        column.frombytes(numbers.astype(code).tobytes())
    t0_ns, t1_ns, taken, status = columns
    held = Samples(sensor, t0_ns, t1_ns, taken, status, lost)
    for place, value in enumerate(held.value):
        if value != value:  # noqa: PLR0124 - NaN: a read that failed
            held.value[place] = 0.0
    return held


def _state(series: str) -> SensorInfo:
    """Return a sensor of a device's state by its id: of its other facts nothing is asked.

    Raises:
        ValueError: it names no kind of sensor.
    """
    for kind in UNITS:
        head, found, part = f"{series}:".partition(f":{kind}:")
        if found:
            return SensorInfo(
                head, "", "", cast("Kind", kind), cast("Scope", ""), part=part.removesuffix(":")
            )
    raise ValueError(f"a trace has no series {series[:80]!r}")
