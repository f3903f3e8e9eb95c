"""Power and energy of NVIDIA GPUs: the energy counter, and the instant and average power fields.

Facts: NVIDIA's NVML reference. The counter counts millijoules since the driver was loaded and never wraps.
`nvmlDeviceGetPowerUsage` averages over a second on some chips and not on others, so it is used only where the
two fields that say which are missing. Each value of `nvmlDeviceGetFieldValues` has a return code of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Self

from harness.energy.base import (
    Kind,
    NativeRead,
    PowerMeter,
    Reading,
    Scope,
    SensorError,
    SensorInfo,
    SensorUnavailable,
)
from harness.energy.nvml_library import address, library, unavailable

_ENERGY_OP, _FIELD_OP, _POWER_OP = 2, 3, 4
_MILLI = 1e-3
_AVERAGE_S = 1.0
"""NVML's reference: the average field covers one second."""
_FIELDS: tuple[tuple[Kind, str, Scope, int], ...] = (
    ("instant", "NVML_FI_DEV_POWER_INSTANT", "gpu", 0),
    ("average", "NVML_FI_DEV_POWER_AVERAGE", "gpu", 0),
    ("instant", "NVML_FI_DEV_POWER_INSTANT", "module", 1),
)


@dataclass(frozen=True, slots=True)
class _Source:
    """One sensor with its two ways of being read; `raw` returns millijoules or milliwatts."""

    info: SensorInfo
    raw: Callable[[], float]
    native: NativeRead | None


class NvmlMeter(PowerMeter):
    """One GPU, by UUID (with or without the prefix `GPU-`) or NVML index."""

    source = "nvml"

    def __init__(self, handle: Any) -> None:
        self._nvml = library()
        self._handle = handle
        self.device = str(self._nvml.nvmlDeviceGetUUID(handle))
        self._label = str(self._nvml.nvmlDeviceGetName(handle))
        sources = [s for s in (self._counter(), *(self._gauge(*field) for field in _FIELDS)) if s is not None]
        if not any(s.info.kind != "counter" for s in sources) and (plain := self._plain_gauge()) is not None:
            sources.append(plain)
        if not sources:
            raise SensorUnavailable(f"{self._label}: it has neither an energy counter nor a power reading")
        self._sources = {s.info: s for s in sources}
        self.sensors = tuple(self._sources)

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return the sensors of every GPU that answers."""
        nvml = library()
        try:
            count = int(nvml.nvmlDeviceGetCount())
        except nvml.NVMLError as error:
            raise unavailable(nvml, "NVML", error) from error
        found: list[SensorInfo] = []
        problem = SensorUnavailable("NVML sees no GPU")
        for index in range(count):
            try:
                found += cls.open(str(index)).sensors
            except SensorUnavailable as error:
                problem = error
        if not found:
            raise problem
        return tuple(found)

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a GPU by UUID or by NVML's index."""
        nvml = library()
        try:
            if device.isdecimal():
                return cls(nvml.nvmlDeviceGetHandleByIndex(int(device)))
            uuid = device if device.startswith(("GPU-", "MIG-")) else f"GPU-{device}"
            return cls(nvml.nvmlDeviceGetHandleByUUID(uuid.encode()))
        except nvml.NVMLError as error:
            raise unavailable(nvml, f"NVML, GPU {device}", error) from error

    def read(self, sensor: SensorInfo) -> Reading:
        """Read the counter or a gauge."""
        raw = self._sources[sensor].raw
        t0_ns = perf_counter_ns()
        try:
            value = raw() * _MILLI
        except self._nvml.NVMLError as error:
            raise SensorError(f"{sensor.id}: {error}") from error
        t1_ns = perf_counter_ns()
        if sensor.kind == "counter":
            return Reading(t0_ns, t1_ns, energy_j=value)
        return Reading(t0_ns, t1_ns, power_w=value)

    def fingerprint(self) -> str:
        """Return the driver's version, which brings the sensors' firmware interface with it."""
        try:
            return str(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError as error:
            return f"unknown: {error}"

    def native(self, sensor: SensorInfo) -> NativeRead | None:
        """Return the library call behind the sensor."""
        return self._sources[sensor].native

    def _counter(self) -> _Source | None:
        info = SensorInfo("nvml", self.device, self._label, "counter", "gpu", quantum=_MILLI)
        return self._probe(
            info,
            lambda: float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)),
            "nvmlDeviceGetTotalEnergyConsumption",
            _ENERGY_OP,
        )

    def _gauge(self, kind: Kind, field_name: str, scope: Scope, field_scope: int) -> _Source | None:
        field = int(getattr(self._nvml, field_name))
        info = SensorInfo(
            "nvml",
            self.device,
            self._label,
            kind,
            scope,
            quantum=_MILLI,
            averaging_window_s=_AVERAGE_S if kind == "average" else None,
        )
        return self._probe(
            info,
            lambda: self._field_value(field, field_scope),
            "nvmlDeviceGetFieldValues",
            _FIELD_OP,
            (field, field_scope),
        )

    def _plain_gauge(self) -> _Source | None:
        info = SensorInfo("nvml", self.device, self._label, "average", "gpu", quantum=_MILLI)
        return self._probe(
            info,
            lambda: float(self._nvml.nvmlDeviceGetPowerUsage(self._handle)),
            "nvmlDeviceGetPowerUsage",
            _POWER_OP,
        )

    def _probe(
        self,
        info: SensorInfo,
        raw: Callable[[], float],
        function: str,
        op: Any,
        field: tuple[int, int] = (0, 0),
    ) -> _Source | None:
        """Return the sensor if it answers now; one that this chip or driver does not have is no error."""
        try:
            raw()
        except self._nvml.NVMLError as error:
            nvml = self._nvml
            absent = {
                nvml.NVML_ERROR_NOT_SUPPORTED,
                nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
                nvml.NVML_ERROR_INVALID_ARGUMENT,
            }
            if error.value in absent:
                return None
            raise
        native = None
        if code := address(function):
            import ctypes

            handle = ctypes.cast(self._handle, ctypes.c_void_p).value or 0
            native = NativeRead(op, _MILLI, code, handle, *field)
        return _Source(info, raw, native)

    def _field_value(self, field: int, scope: int) -> float:
        value = self._nvml.nvmlDeviceGetFieldValues(self._handle, [(field, scope)])[0]
        if value.nvmlReturn != self._nvml.NVML_SUCCESS:
            raise self._nvml.NVMLError(value.nvmlReturn)
        member = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")[value.valueType]
        return float(getattr(value.value, member))
