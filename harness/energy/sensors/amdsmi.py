"""Power and energy of AMD GPUs through AMD's own Python bindings, `amdsmi`, which come with ROCm.

Facts: the AMD SMI reference. The energy count is a number of steps, whose size in microjoules comes with it;
it never wraps in practice (64 bits). Power is a mean or the present value, depending on the chip; what a chip
does not report is the text `N/A`.
"""

from __future__ import annotations

import importlib
from functools import cache
from time import perf_counter_ns
from typing import Any, Self

from harness.energy.sensors.base import (
    Kind,
    PowerMeter,
    Reading,
    SensorError,
    SensorInfo,
    SensorUnavailable,
    Unreadable,
)
from harness.energy.sensors.names import choose

_JOULES_PER_UJ = 1e-6
_POWER: tuple[tuple[str, Kind], ...] = (
    ("current_socket_power", "instant"),
    ("average_socket_power", "average"),
)
_LEAST_CAP_UW = 10e6
"""Less is no cap in microwatts: older bindings reported it in watts."""
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

    def __init__(self, handle: Any, device: str) -> None:
        self._smi, self._handle = library(), handle
        self.device = device
        label = str(self._smi.amdsmi_get_gpu_asic_info(handle).get("market_name", "AMD GPU"))
        rated_w = self._rated_w()
        found = []
        if (count := self._count()) is not None:
            step_j = count[1] * _JOULES_PER_UJ
            found.append(
                SensorInfo("amdsmi", device, label, "counter", "gpu", quantum=step_j, rated_w=rated_w)
            )
        power = self._power()
        for key, kind in _POWER:
            if _number(power.get(key)) is not None:
                found.append(SensorInfo("amdsmi", device, label, kind, "gpu", quantum=1.0, rated_w=rated_w))
        if not found:
            raise SensorUnavailable(f"{label}: it reports neither energy nor power")
        self.sensors = tuple(found)

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return the sensors of every GPU that answers."""
        devices = _devices()
        if not devices:
            raise SensorUnavailable("amdsmi sees no GPU")
        found: list[SensorInfo] = []
        problems = []
        for device, handle in devices.items():
            try:
                found += cls(handle, device).sensors
            except SensorUnavailable as error:
                problems.append(error)
        if not found:
            raise problems[0]
        return tuple(found)

    @classmethod
    def unreadable(cls) -> tuple[Unreadable, ...]:
        """Return the GPUs that the driver lists and that report nothing."""
        gone = []
        for device, handle in _devices().items():
            try:
                cls(handle, device)
            except SensorUnavailable as error:
                gone.append(Unreadable(device, "AMD GPU", "gpu", error.reason, error.remedy))
        return tuple(gone)

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a GPU by UUID, PCI address or index."""
        devices = _devices()
        meant = choose(device, "GPU of amdsmi", {name: [_bdf(h)] for name, h in devices.items()})
        return cls(devices[meant], meant)

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

    def _rated_w(self) -> float | None:
        """Return the largest power cap that may be set; the bindings report it in microwatts."""
        ask = getattr(self._smi, "amdsmi_get_power_cap_info", None)
        try:
            most = _number(dict(ask(self._handle)).get("max_power_cap")) if ask is not None else None
        except self._smi.AmdSmiException:
            return None
        return most * 1e-6 if most and most >= _LEAST_CAP_UW else None

    def _power(self) -> dict[str, Any]:
        try:
            return dict(self._smi.amdsmi_get_power_info(self._handle))
        except self._smi.AmdSmiException:
            return {}


def _devices() -> dict[str, Any]:
    """Return the handles by UUID, or by PCI address where partitions of a GPU share one, or have none."""
    smi = library()
    try:
        handles = list(smi.amdsmi_get_processor_handles())
    except smi.AmdSmiException as error:
        raise SensorUnavailable(f"amdsmi: {error}") from error
    uuids = [_uuid(handle) for handle in handles]
    named: dict[str, Any] = {}
    for place, (uuid, handle) in enumerate(zip(uuids, handles, strict=True)):
        own = uuid if uuid and uuids.count(uuid) == 1 else _bdf(handle) or f"gpu-{place}"
        named[own if own not in named else f"{own}-{place}"] = handle
    return named


def _uuid(handle: Any) -> str:
    smi = library()
    try:
        uuid = str(smi.amdsmi_get_gpu_device_uuid(handle))
    except smi.AmdSmiException:
        return ""
    return "" if uuid in {"N/A", ""} or not uuid.strip("0-") else uuid


def _bdf(handle: Any) -> str:
    """Return a GPU's PCI address, or nothing where the bindings do not report it."""
    smi = library()
    ask = getattr(smi, "amdsmi_get_gpu_device_bdf", None)
    try:
        return str(ask(handle)) if ask is not None else ""
    except smi.AmdSmiException:
        return ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
