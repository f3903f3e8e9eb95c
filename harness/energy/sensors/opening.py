"""Open the meters of one source: those that were named, else all that the source would add up.

What is there and cannot be read stands among them as a `NullMeter` with its reason, so that no total is taken
without it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.energy.sensors.base import (
    ImplausibleReading,
    PowerMeter,
    SensorError,
    SensorUnavailable,
    Unreadable,
)
from harness.energy.sensors.names import device_of
from harness.energy.sensors.none import NullMeter

_TRIES = 3
"""A meter that answers once in so many reads is open; what it answers otherwise is a gap."""


def open_meters(source: type[PowerMeter], devices: Sequence[str | int]) -> tuple[PowerMeter, ...]:
    """Open each device once, however often and by whatever names it was named."""
    missing: tuple[Unreadable, ...] = ()
    try:
        wanted = [device_of(source.source, str(d)) for d in devices]
        if not wanted:
            wanted = list(source.default_devices(source.discover()))
            missing = source.unreadable()
    except SensorError as error:
        return (NullMeter("all", error.reason, error.remedy),)
    opened: dict[str, PowerMeter] = {}
    for name in wanted:
        meter = _open(source, name)
        opened.setdefault(meter.device, meter)
    for gone in missing:
        opened.setdefault(gone.device, _absent(gone))
    return tuple(opened.values())


def _open(source: type[PowerMeter], name: str) -> PowerMeter:
    try:
        meter = source.open(name)
        _await_answer(meter)
    except SensorError as error:
        return NullMeter(name, error.reason, error.remedy)
    return meter


def _await_answer(meter: PowerMeter) -> None:
    """Read once, so that a sensor that only ever gives an error value is unavailable from the start.

    Raises:
        SensorError: it does not answer, or never with what can be true.
    """
    if not meter.sensors:
        return
    for attempt in range(_TRIES):
        try:
            meter.read(meter.sensors[0])
        except ImplausibleReading as error:
            if attempt + 1 == _TRIES:
                raise SensorUnavailable(error.reason, error.remedy) from error
            time.sleep(meter.pause_s)
        else:
            return


def _absent(gone: Unreadable) -> NullMeter:
    advice = f" ({gone.remedy})" if gone.remedy else ""
    reason = f"{gone.device} ({gone.label}) is there and was not metered: {gone.reason}{advice}"
    return NullMeter(gone.device, reason, gone.remedy, label=gone.label, scope=gone.scope)
