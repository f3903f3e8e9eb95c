"""Power and energy of AMD GPUs through AMD's own Python bindings, `amdsmi`, which come with ROCm.

Facts: the AMD SMI reference. The energy count is a number of steps, whose size in microjoules comes with it;
it never wraps in practice (64 bits). Power is a mean or the present value, depending on the chip; what a chip
does not tell is the text `N/A`.
"""

from __future__ import annotations

import importlib
from functools import cache
from time import perf_counter_ns
from typing import Any, Self

from harness.energy.sensors.base import Kind, PowerMeter, Reading, SensorError, SensorInfo, SensorUnavailable

_JOULES_PER_UJ = 1e-6
_POWER: tuple[tuple[str, Kind], ...] = (
    ("current_socket_power", "instant"),
    ("average_socket_power", "average"),
)
_COUNTS = ("energy_accumulator", "power")
"""Names of the energy count: today's, and the older one."""


@cache
def library() -> Any:  # the bindings carry no types
    """Return the bindings, initialised once.

    Raises:
        SensorUnavailable: no bindings, or no driver.
    """
    try:
        smi = importlib.import_module("amdsmi")
    except (ImportError, KeyError, OSError) as error:  # its loader raises all three where ROCm is missing
        raise SensorUnavailable(f"amdsmi cannot be imported: {error}", "install ROCm with amdsmi") from error
    try:
        smi.amdsmi_init()
    except smi.AmdSmiException as error:
        raise SensorUnavailable(f"amdsmi: {error}", "load the kernel module: `modprobe amdgpu`") from error
    return smi


class AmdsmiMeter(PowerMeter):
    """One GPU, by UUID or index."""

    source = "amdsmi"

    def __init__(self, handle: Any) -> None:
        self._smi, self._handle = library(), handle
        self.device = str(self._smi.amdsmi_get_gpu_device_uuid(handle))
        label = str(self._smi.amdsmi_get_gpu_asic_info(handle).get("market_name", "AMD GPU"))
        found = []
        if (count := self._count()) is not None:
            step_j = count[1] * _JOULES_PER_UJ
            found.append(SensorInfo("amdsmi", self.device, label, "counter", "gpu", quantum=step_j))
        power = self._power()
        for key, kind in _POWER:
            if _number(power.get(key)) is not None:
                found.append(SensorInfo("amdsmi", self.device, label, kind, "gpu", quantum=1.0))
        if not found:
            raise SensorUnavailable(f"{label}: it tells neither energy nor power")
        self.sensors = tuple(found)

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return the sensors of every GPU that answers."""
        handles = _handles()
        if not handles:
            raise SensorUnavailable("amdsmi sees no GPU")
        return tuple(sensor for handle in handles for sensor in cls(handle).sensors)

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a GPU by UUID or index."""
        handles = _handles()
        if device.isdecimal() and int(device) < len(handles):
            return cls(handles[int(device)])
        smi = library()
        for handle in handles:
            if str(smi.amdsmi_get_gpu_device_uuid(handle)).lower() == device.lower():
                return cls(handle)
        raise SensorUnavailable(f"amdsmi sees no GPU {device}; there are {len(handles)}")

    def read(self, sensor: SensorInfo) -> Reading:
        """Read the energy count or a power."""
        t0_ns = perf_counter_ns()
        if sensor.kind == "counter":
            count = self._count()
            if count is None:
                raise SensorError(f"{sensor.id}: no energy count")
            return Reading(t0_ns, perf_counter_ns(), energy_j=count[0] * count[1] * _JOULES_PER_UJ)
        key = next(key for key, kind in _POWER if kind == sensor.kind)
        watts = _number(self._power().get(key))
        if watts is None:
            raise SensorError(f"{sensor.id}: no {key}")
        return Reading(t0_ns, perf_counter_ns(), power_w=watts)

    def fingerprint(self) -> str:
        """Return the driver's version."""
        try:
            return str(self._smi.amdsmi_get_gpu_driver_info(self._handle))
        except self._smi.AmdSmiException as error:
            return f"unknown: {error}"

    def _count(self) -> tuple[float, float] | None:
        """Return the energy count and the size of its step in microjoules; None where there is none."""
        try:
            found = self._smi.amdsmi_get_energy_count(self._handle)
        except self._smi.AmdSmiException:
            return None
        count = next((n for key in _COUNTS if (n := _number(found.get(key))) is not None), None)
        step_uj = _number(found.get("counter_resolution"))
        return None if not count or not step_uj else (count, step_uj)

    def _power(self) -> dict[str, Any]:
        try:
            return dict(self._smi.amdsmi_get_power_info(self._handle))
        except self._smi.AmdSmiException:
            return {}


def _handles() -> list[Any]:
    smi = library()
    try:
        return list(smi.amdsmi_get_processor_handles())
    except smi.AmdSmiException as error:
        raise SensorUnavailable(f"amdsmi: {error}") from error


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
