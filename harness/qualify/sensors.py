"""The checks of the energy sensor under a load that is switched on and off."""

from __future__ import annotations

import time
from collections.abc import Iterator

from harness import energy
from harness.energy.probing import cache
from harness.energy.probing.probe import Switch
from harness.energy.sensors.base import PowerMeter, SensorError
from harness.energy.sensors.none import NullMeter
from harness.qualify import judging
from harness.records.schema import Check

LAG_S = 1.0
WINDOW_S, QUICK_WINDOW_S = 5.0, 2.0
_WHAT = {
    "energy.period": "The counter's update period.",
    "energy.poll": "Polling leaves the counter undisturbed.",
    "energy.lag": "How late the sensor shows a change of load.",
    "energy.alias": "The counter sees the whole of each update period.",
    "energy.agreement": "The energy counter, against the integral of instant power.",
}


def checks(device_kind: str, hardware_id: str | None, load: Switch, *, quick: bool) -> Iterator[Check]:
    """Make the checks, or say of each why it cannot be made.

    Args:
        device_kind: what is metered.
        hardware_id: the device, as its sensor knows it; None is every device of the sensor.
        load: puts a steady load on the device, or takes it off.
        quick: without probing again what is known of the sensor.
    """
    devices = () if hardware_id is None else (hardware_id,)
    meters = energy.resolve("auto", device_kind, devices)
    try:
        meter = meters[0]
        if isinstance(meter, NullMeter):
            yield from (judging.not_available(i, what, meter.reason) for i, what in _WHAT.items())
            return
        yield from _counter(meter, load, quick=quick)
    finally:
        for each in meters:
            each.close()
    yield _agreement(device_kind, devices, load, QUICK_WINDOW_S if quick else WINDOW_S)


def _counter(meter: PowerMeter, load: Switch, *, quick: bool) -> Iterator[Check]:
    ids = [i for i in _WHAT if i != "energy.agreement"]
    info = meter.sensors[0]
    if info.kind != "counter":
        reason = f"{info.label} has a power gauge and no energy counter"
        yield from (judging.not_available(i, _WHAT[i], reason) for i in ids)
        return
    try:
        found = cache.probed(meter, info, load=load, anew=not quick)
    except SensorError as error:
        yield from (judging.holds(i, _WHAT[i], good=False, reason=error.reason) for i in ids)
        return
    unknown = "the probe found no answer"
    yield (
        judging.at_most("energy.period", _WHAT["energy.period"], found.update_period_s, 1.0, "s")
        if found.update_period_s is not None
        else judging.not_available("energy.period", _WHAT["energy.period"], unknown)
    )
    yield _flag(
        "energy.poll", found.poll_disturbs, "polling shifts what it says: it is read at the edges only"
    )
    yield (
        judging.at_most("energy.lag", _WHAT["energy.lag"], found.lag_s, LAG_S, "s")
        if found.lag_s is not None
        else judging.not_available("energy.lag", _WHAT["energy.lag"], unknown)
    )
    yield _flag(
        "energy.alias",
        found.aliases,
        "it samples only part of each update period: windows are shifted in phase",
    )


def _flag(check_id: str, wrong: bool | None, reason: str) -> Check:
    if wrong is None:
        return judging.not_available(check_id, _WHAT[check_id], "the probe found no answer")
    return judging.holds(check_id, _WHAT[check_id], good=not wrong, reason=reason)


def _agreement(device_kind: str, devices: tuple[str, ...], load: Switch, seconds: float) -> Check:
    window = energy.window("auto", devices, device_kind)
    with window:
        load(True)
        time.sleep(seconds)
        load(False)
    return agreement(window.result)


def agreement(result: energy.EnergyResult) -> Check:
    """Judge a window's own cross-check of counter and power integral (docs/method.md, section 4)."""
    check_id, what = "energy.agreement", _WHAT["energy.agreement"]
    kinds = {sensor.kind for device in result.devices for sensor in device.sensors}
    if not {"counter", "instant"} <= kinds:
        return judging.not_available(check_id, what, "it needs a counter and an instant power gauge")
    if result.joules is None:
        return judging.holds(check_id, what, good=False, reason=result.reason or "no energy was measured")
    apart = [flag for flag in result.flags if flag in {"sensors_disagree", "sensors_conflict"}]
    return judging.holds(check_id, what, good=not apart, reason=", ".join(apart))
