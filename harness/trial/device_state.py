"""The device's conditions and its soak: between the timing that asks and the record that keeps."""

from __future__ import annotations

from harness import timing
from harness.config.models import MeasureConfig
from harness.devices.base import Device
from harness.energy.sensors.nvml_conditions import conditions_of
from harness.records.schema import Facts


def soak_settings(measure: MeasureConfig) -> timing.SoakSettings:
    """Return the soak's part of the configuration."""
    return timing.SoakSettings(measure.soak_window_s, measure.soak_cap_s, measure.soak_tolerance)


def soak_evidence(found: timing.Soak) -> Facts:
    """Return what a record says of a soak."""
    last = found.last
    return {
        "done": True,
        "steady": found.steady,
        "seconds": found.seconds,
        "windows": len(found.windows),
        "iteration_s": last.iteration_ns / 1e9,
        "clock_mhz": last.conditions.clock_mhz,
        "temperature_c": last.conditions.temperature_c,
        "slowdowns": list(last.conditions.slowdowns),
        "states": list(last.conditions.states),
    }


def soak_clock_hz(session: Facts) -> float | None:
    """Return the clock of the session soak's last window, None where there was no soak or no such sensor."""
    mhz = (session.get("soak") or {}).get("clock_mhz")
    return None if mhz is None else float(mhz) * 1e6


def conditions_reader(device: Device) -> timing.ReadConditions:
    """Return what reads this device's conditions; a device without such sensors tells nothing."""
    uuid = device.hardware_id()
    told = conditions_of(uuid) if uuid is not None else None
    return timing.Conditions if told is None else lambda: timing.Conditions(**told())


def conditions_evidence(found: timing.Conditions, session: Facts) -> Facts:
    """Return a replica's conditions at the end of its span, held against the soak's last window."""
    reference = (session.get("soak") or {}).get("clock_mhz")
    known = found.clock_mhz is not None or found.temperature_c is not None
    return {
        "temperature_c": found.temperature_c,
        "clock_mhz": found.clock_mhz,
        "clock_ratio": found.clock_mhz / reference if found.clock_mhz and reference else None,
        "throttled": bool(found.slowdowns) if known else None,
        "clock_states": [*found.slowdowns, *found.states],
    }
