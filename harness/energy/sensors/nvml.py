"""Power and energy of NVIDIA GPUs: the energy counter, power fields, and the driver's own power samples.

Facts: NVIDIA's NVML reference. The counter counts millijoules since the driver was loaded and never wraps.
`nvmlDeviceGetPowerUsage` averages over a second on some chips and not on others, so it is used only where the
two fields that say which are missing. Each value of `nvmlDeviceGetFieldValues` has a return code of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter_ns
from typing import Any, Self

from harness.energy.sensors import nvml_gpm
from harness.energy.sensors.base import (
    POWERS,
    Activity,
    EventTimes,
    Kind,
    NativeRead,
    PowerMeter,
    Reading,
    Scope,
    SensorError,
    SensorInfo,
    SensorUnavailable,
    Unreadable,
)
from harness.energy.sensors.nvml_buffer import PowerBuffer
from harness.energy.sensors.nvml_library import address, library, unavailable

_U64_OP, _FIELD_OP, _U32_OP, _TYPED_OP, _PAIR_OP, _BUFFER_OP = 2, 3, 4, 5, 6, 7
_MILLI = 1e-3
_SLOW_S = 0.1
"""What changes slowly is read about so often: averages, a module's power, states."""
_BUFFER_S = 0.5
"""The driver's samples are fetched so often; its buffer holds more."""
_AVERAGE_S = 1.0
"""NVML's reference: the average field covers one second."""
_FIELDS: tuple[tuple[Kind, str, Scope, int], ...] = (
    ("instant", "NVML_FI_DEV_POWER_INSTANT", "gpu", 0),
    ("average", "NVML_FI_DEV_POWER_AVERAGE", "gpu", 0),
    ("instant", "NVML_FI_DEV_POWER_INSTANT", "module", 1),
)

_EVENT_FIELDS = (
    ("software_power_cap", "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP"),
    ("software_thermal_slowdown", "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN"),
    ("hardware_thermal_slowdown", "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN"),
    ("hardware_power_brake", "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN"),
)
"""Reasons as `nvml_facts` names them, and the fields that count their time."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One sensor with its two ways of being read."""

    info: SensorInfo
    read: Callable[[], Reading]
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
        try:
            sources.append(self._buffered())
        except SensorError as error:
            self.missing = {"buffered": error.reason}
        sources = [self._rated(source) for source in sources]
        if not sources:
            raise SensorUnavailable(f"{self._label}: it has neither an energy counter nor a power reading")
        self.sensors = tuple(s.info for s in sources)
        states = self._states()
        self.states = tuple(s.info for s in states)
        self._sources = {s.info: s for s in (*sources, *states)}

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
    def unreadable(cls) -> tuple[Unreadable, ...]:
        """Return the GPUs that the driver counts and that do not answer, e.g. one fallen off the bus."""
        nvml = library()
        gone = []
        for index in range(int(nvml.nvmlDeviceGetCount())):
            try:
                cls.open(str(index))
            except SensorUnavailable as error:
                gone.append(Unreadable(str(index), f"GPU {index}", "gpu", error.reason, error.remedy))
        return tuple(gone)

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
        """Read the counter, a gauge or a state."""
        try:
            return self._sources[sensor].read()
        except self._nvml.NVMLError as error:
            raise SensorError(f"{sensor.id}: {error}") from error

    def fingerprint(self) -> str:
        """Return the driver's version, which brings the sensors' firmware interface with it."""
        try:
            return str(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError as error:
            return f"unknown: {error}"

    def native(self, sensor: SensorInfo) -> NativeRead | None:
        """Return the library call behind the sensor."""
        return self._sources[sensor].native

    def event_times(self) -> EventTimes:
        """Return the driver's counters of clock event reasons, each a field value in ns."""
        seconds, missing = {}, {}
        for reason, field_name in _EVENT_FIELDS:
            field = getattr(self._nvml, field_name, None)
            if field is None:
                missing[reason] = "nvidia-ml-py is too old"
                continue
            try:
                seconds[reason] = self._field_value(int(field), 0) * 1e-9
            except self._nvml.NVMLError as error:
                missing[reason] = str(error)
        return EventTimes(seconds, missing)

    def count_activity(self) -> Callable[[], Activity]:
        """Count by the device's performance counters."""
        return nvml_gpm.begin(self._nvml, self._handle)

    def _counter(self) -> _Source | None:
        info = SensorInfo("nvml", self.device, self._label, "counter", "gpu", quantum=_MILLI)
        return self._probe(
            info,
            lambda: float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)),
            "nvmlDeviceGetTotalEnergyConsumption",
            _U64_OP,
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
            every_s=0.0 if (kind, scope) == ("instant", "gpu") else _SLOW_S,
        )

    def _buffered(self) -> _Source:
        buffer = PowerBuffer(self._nvml, self._handle)
        info = SensorInfo(
            "nvml", self.device, self._label, "buffered", "gpu", _MILLI, update_period_s=buffer.period_s
        )
        native = self._native("nvmlDeviceGetSamples", _BUFFER_OP, (buffer.clock, 0), _MILLI, _BUFFER_S)
        return _Source(info, buffer.newest, native)

    def _plain_gauge(self) -> _Source | None:
        info = SensorInfo("nvml", self.device, self._label, "average", "gpu", quantum=_MILLI)
        return self._probe(
            info,
            lambda: float(self._nvml.nvmlDeviceGetPowerUsage(self._handle)),
            "nvmlDeviceGetPowerUsage",
            _U32_OP,
        )

    def _states(self) -> list[_Source]:
        """Return the device's temperature, clocks, event reasons and utilisation."""
        nvml, handle = self._nvml, self._handle
        events = "nvmlDeviceGetCurrentClocksEventReasons"
        if not (hasattr(nvml, events) and address(events)):
            events = "nvmlDeviceGetCurrentClocksThrottleReasons"  # its name in older drivers
        found: list[_Source | None] = []
        for kind, part, function, op, code in (
            ("temperature", "", "nvmlDeviceGetTemperature", _TYPED_OP, nvml.NVML_TEMPERATURE_GPU),
            ("clock", "sm", "nvmlDeviceGetClockInfo", _TYPED_OP, nvml.NVML_CLOCK_SM),
            ("clock", "memory", "nvmlDeviceGetClockInfo", _TYPED_OP, nvml.NVML_CLOCK_MEM),
            ("events", "", events, _U64_OP, None),
            ("utilisation", "", "nvmlDeviceGetUtilizationRates", _PAIR_OP, None),
        ):
            info = SensorInfo("nvml", self.device, self._label, kind, "gpu", part=part)  # type: ignore[arg-type]
            call = partial(getattr(nvml, function), handle, *([] if code is None else [code]))
            raw = partial(_first, call)
            found.append(self._probe(info, raw, function, op, (code or 0, 0), scale=1.0, every_s=_SLOW_S))
        return [source for source in found if source is not None]

    def _probe(
        self,
        info: SensorInfo,
        raw: Callable[[], float],
        function: str,
        op: Any,
        field: tuple[int, int] = (0, 0),
        scale: float = _MILLI,
        every_s: float = 0.0,
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
        read = partial(_reading, info, raw, scale)
        return _Source(info, read, self._native(function, op, field, scale, every_s))

    def _rated(self, source: _Source) -> _Source:
        """Return the sensor with the largest power limit that may be set on the GPU; a module draws more."""
        try:
            most_w = float(self._nvml.nvmlDeviceGetPowerManagementLimitConstraints(self._handle)[1]) * _MILLI
        except self._nvml.NVMLError:
            return source
        info = (
            replace(source.info, rated_w=most_w) if source.info.scope == "gpu" and most_w > 0 else source.info
        )
        return _Source(info, source.read, source.native)

    def _native(
        self, function: str, op: Any, field: tuple[int, int], scale: float, every_s: float
    ) -> NativeRead | None:
        code = address(function)
        handle = ctypes.cast(self._handle, ctypes.c_void_p).value or 0
        return NativeRead(op, scale, code, handle, *field, every_s=every_s) if code else None

    def _field_value(self, field: int, scope: int) -> float:
        value = self._nvml.nvmlDeviceGetFieldValues(self._handle, [(field, scope)])[0]
        if value.nvmlReturn != self._nvml.NVML_SUCCESS:
            raise self._nvml.NVMLError(value.nvmlReturn)
        member = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")[value.valueType]
        return float(getattr(value.value, member))


def _reading(info: SensorInfo, raw: Callable[[], float], scale: float) -> Reading:
    t0_ns = perf_counter_ns()
    value = raw() * scale
    t1_ns = perf_counter_ns()
    if info.kind == "counter":
        return Reading(t0_ns, t1_ns, energy_j=value)
    return Reading(t0_ns, t1_ns, power_w=value) if info.kind in POWERS else Reading(t0_ns, t1_ns, state=value)


def _first(call: Callable[[], Any]) -> float:
    """Return a number, or the first of a pair: how busy the GPU is, then its memory."""
    value = call()
    return float(value.gpu if hasattr(value, "gpu") else value)
