"""What NVML reports about a GPU beside its power: temperature, clock, what holds it, who uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.energy.sensors.base import SensorUnavailable
from harness.energy.sensors.nvml_facts import event_reasons
from harness.energy.sensors.nvml_library import library, untold

SLOWDOWNS = (
    "hardware_slowdown",
    "software_thermal_slowdown",
    "hardware_thermal_slowdown",
    "hardware_power_brake",
)
"""Reasons that are faults of cooling or supply; a power cap is none."""


@dataclass(frozen=True, slots=True)
class GpuState:
    """Reads one GPU's state; what the driver does not report is None, or empty."""

    nvml: Any
    handle: Any

    def conditions(self) -> dict[str, Any]:
        """Return `temperature_c`, `clock_mhz` (of the multiprocessors), `slowdowns` and `states`."""
        nvml, handle = self.nvml, self.handle
        bits = self._read(lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)))
        reasons = event_reasons(bits) if bits is not None else []
        return {
            "temperature_c": self._read(
                lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
            ),
            "clock_mhz": self._read(lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))),
            "slowdowns": tuple(r for r in reasons if r in SLOWDOWNS),
            "states": tuple(r for r in reasons if r not in SLOWDOWNS),
        }

    def requested_clock_mhz(self) -> float | None:
        """Return the application clock that somebody set; None where it is the default, or not reported.

        NVML reports no clock that was locked (`nvidia-smi --lock-gpu-clocks`).
        """
        nvml, handle = self.nvml, self.handle
        wanted = self._read(lambda: float(nvml.nvmlDeviceGetApplicationsClock(handle, nvml.NVML_CLOCK_SM)))
        usual = self._read(
            lambda: float(nvml.nvmlDeviceGetDefaultApplicationsClock(handle, nvml.NVML_CLOCK_SM))
        )
        return None if usual is None or wanted == usual else wanted

    def compute_pids(self) -> list[int] | None:
        """Return the processes that hold a compute context on the device; None where NVML reports none."""
        nvml, handle = self.nvml, self.handle
        found: list[int] | None = self._read(
            lambda: sorted({int(one.pid) for one in nvml.nvmlDeviceGetComputeRunningProcesses(handle)})
        )
        return found

    def _read(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except untold(self.nvml):
            return None


def gpu_state(uuid: str) -> GpuState | None:
    """Return what reads a GPU's state, or None where NVML does not know the device."""
    try:
        nvml = library()
    except SensorUnavailable:
        return None
    try:
        return GpuState(nvml, nvml.nvmlDeviceGetHandleByUUID(uuid.encode()))
    except nvml.NVMLError:
        return None
