"""What NVML knows of a machine's GPUs beside power: plain facts for the fingerprint and `joulemark doctor`.

A fact that a driver or chip does not report is None, and `missing` says why; drivers of any age are fine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from harness.energy.sensors.base import SensorUnavailable
from harness.energy.sensors.nvml_library import library, untold

Facts = dict[str, Any]
_MILLI = 1e-3
_EVENTS = (
    (0x1, "gpu_idle"),
    (0x2, "application_clocks"),
    (0x4, "software_power_cap"),
    (0x8, "hardware_slowdown"),
    (0x10, "sync_boost"),
    (0x20, "software_thermal_slowdown"),
    (0x40, "hardware_thermal_slowdown"),
    (0x80, "hardware_power_brake"),
    (0x100, "display_clocks"),
)
"""Bits of the clock event reasons (NVML reference, `nvmlClocksEventReasons`)."""


def gpu_facts() -> Facts:
    """Return the driver's and every GPU's facts, JSON-able.

    Returns:
        `driver`, `cuda_driver`, `gpus` (one mapping each, with `missing`: the reason for each fact that is
        None) and `reason`, why there are no GPUs to report; None when there are.
    """
    facts: Facts = {"driver": None, "cuda_driver": None, "gpus": [], "reason": None, "missing": {}}
    try:
        nvml = library()
    except SensorUnavailable as error:
        return {**facts, "reason": error.reason}
    _fill(
        nvml, facts, {"driver": nvml.nvmlSystemGetDriverVersion, "cuda_driver": lambda: _cuda_version(nvml)}
    )
    try:
        count = int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        return {**facts, "reason": f"NVML: {error}"}
    facts["gpus"] = [_gpu(nvml, index) for index in range(count)]
    return facts if count else {**facts, "reason": "NVML sees no GPU"}


def _hashed_uuid(uuid: str) -> str:
    """Return the first 16 hex digits of a UUID's sha256: it tells devices apart and names none."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:16]


def event_reasons(bits: int) -> list[str]:
    """Return the names of the reasons why clocks are below their maximum; unknown bits as hex."""
    known = [name for bit, name in _EVENTS if bits & bit]
    rest = bits & ~sum(bit for bit, _ in _EVENTS)
    return [*known, *([hex(rest)] if rest else [])]


def _gpu(nvml: Any, index: int) -> Facts:
    facts: Facts = {"index": index, "missing": {}}
    try:
        h = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        facts["missing"]["gpu"] = str(error)
        return facts

    def clocks(read: str) -> dict[str, int]:
        kinds = {
            "graphics": nvml.NVML_CLOCK_GRAPHICS,
            "sm": nvml.NVML_CLOCK_SM,
            "memory": nvml.NVML_CLOCK_MEM,
        }
        return {kind: int(getattr(nvml, read)(h, code)) for kind, code in kinds.items()}

    limits: dict[str, Callable[[], float]] = {
        "power_limit_w": lambda: nvml.nvmlDeviceGetPowerManagementLimit(h) * _MILLI,
        "power_limit_enforced_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(h) * _MILLI,
        "power_limit_default_w": lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(h) * _MILLI,
        "power_limit_min_w": lambda: nvml.nvmlDeviceGetPowerManagementLimitConstraints(h)[0] * _MILLI,
        "power_limit_max_w": lambda: nvml.nvmlDeviceGetPowerManagementLimitConstraints(h)[1] * _MILLI,
    }
    _fill(
        nvml,
        facts,
        {
            "name": lambda: str(nvml.nvmlDeviceGetName(h)),
            "uuid_hash": lambda: _hashed_uuid(str(nvml.nvmlDeviceGetUUID(h))),
            "compute_capability": lambda: ".".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(h))),
            "clocks_mhz": lambda: clocks("nvmlDeviceGetClockInfo"),
            "max_clocks_mhz": lambda: clocks("nvmlDeviceGetMaxClockInfo"),
            "application_clocks_mhz": lambda: clocks("nvmlDeviceGetApplicationsClock"),
            **limits,
            "ecc": lambda: bool(nvml.nvmlDeviceGetEccMode(h)[0]),
            "mig": lambda: bool(nvml.nvmlDeviceGetMigMode(h)[0]),
            "persistence": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(h)),
            "pcie_generation": lambda: int(nvml.nvmlDeviceGetCurrPcieLinkGeneration(h)),
            "pcie_width": lambda: int(nvml.nvmlDeviceGetCurrPcieLinkWidth(h)),
            "pcie_max_generation": lambda: int(nvml.nvmlDeviceGetMaxPcieLinkGeneration(h)),
            "pcie_max_width": lambda: int(nvml.nvmlDeviceGetMaxPcieLinkWidth(h)),
            "memory_bytes": lambda: int(nvml.nvmlDeviceGetMemoryInfo(h).total),
            "memory_used_bytes": lambda: int(nvml.nvmlDeviceGetMemoryInfo(h).used),
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(h) * _MILLI,
            "temperature_c": lambda: int(nvml.nvmlDeviceGetTemperature(h, nvml.NVML_TEMPERATURE_GPU)),
            "clock_event_reasons": lambda: event_reasons(_event_bits(nvml, h)),
            "processes": lambda: [
                {"pid": int(p.pid), "memory_bytes": p.usedGpuMemory}
                for p in nvml.nvmlDeviceGetComputeRunningProcesses(h)
            ],
        },
    )
    return facts


def _fill(nvml: Any, facts: Facts, readers: dict[str, Callable[[], Any]]) -> None:
    """Read each fact; one that cannot be read is None, with the reason in `missing`."""
    for key, read in readers.items():
        try:
            facts[key] = read()
        except nvml.NVMLError as error:
            facts[key] = None
            facts["missing"][key] = str(error)
        except AttributeError as error:  # bindings older than the fact
            facts[key] = None
            facts["missing"][key] = f"nvidia-ml-py is too old: {error}"
        except untold(nvml):
            facts[key] = None
            facts["missing"][key] = "the driver is too old for this nvidia-ml-py"


def _cuda_version(nvml: Any) -> str:
    version = int(nvml.nvmlSystemGetCudaDriverVersion())
    return f"{version // 1000}.{version % 1000 // 10}"


def _event_bits(nvml: Any, handle: Any) -> int:
    """Read the clock event reasons; older drivers know them by their older name."""
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except (AttributeError, nvml.NVMLError_FunctionNotFound):
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
