"""What NVML tells of a GPU from moment to moment beside power: temperature, clock, what holds the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.energy.sensors.base import SensorUnavailable
from harness.energy.sensors.nvml_facts import event_reasons
from harness.energy.sensors.nvml_library import library

SLOWDOWNS = (
    "hardware_slowdown",
    "software_thermal_slowdown",
    "hardware_thermal_slowdown",
    "hardware_power_brake",
)
"""Reasons that are faults of cooling or supply; a power cap is none."""


def conditions_of(uuid: str) -> Callable[[], dict[str, Any]] | None:
    """Return a function that reads a GPU's conditions, or None where NVML does not know the device.

    It returns `temperature_c`, `clock_mhz` (of the multiprocessors), `slowdowns` and `states`; what the
    driver does not tell is None, or empty.
    """
    try:
        nvml = library()
    except SensorUnavailable:
        return None
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid.encode())
    except nvml.NVMLError:
        return None

    def value_or_none(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (nvml.NVMLError, AttributeError):  # old bindings lack what the driver has
            return None

    def conditions() -> dict[str, Any]:
        bits = value_or_none(lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)))
        reasons = event_reasons(bits) if bits is not None else []
        return {
            "temperature_c": value_or_none(
                lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
            ),
            "clock_mhz": value_or_none(
                lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
            ),
            "slowdowns": tuple(r for r in reasons if r in SLOWDOWNS),
            "states": tuple(r for r in reasons if r not in SLOWDOWNS),
        }

    return conditions
