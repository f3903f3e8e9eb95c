"""RAPL energy counters of x86 packages and memory, through the kernel's powercap tree.

Facts: the kernel's `Documentation/power/powercap/powercap.rst`. `energy_uj` counts microjoules and wraps at
`max_energy_range_uj`; since Linux 5.10 only root may read it. A sub-zone's path lies inside its parent's.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import Self

from harness.energy.sensors.base import (
    NativeRead,
    PowerMeter,
    Reading,
    Scope,
    SensorError,
    SensorInfo,
    SensorUnavailable,
)

POWERCAP = Path("/sys/class/powercap")
_ZONE = re.compile(r"intel-rapl(:\d+)+")
"""Zones of the register interface; `intel-rapl-mmio` shows the same counters a second time."""
_JOULES_PER_UJ = 1e-6
_REMEDY = "let the user read it, e.g. `sudo chmod -R a+r /sys/class/powercap/intel-rapl*/`"


class RaplMeter(PowerMeter):
    """One RAPL domain: a package, the memory of one, or the whole platform (psys)."""

    source = "rapl"
    root: Path = POWERCAP

    def __init__(self, zone: Path, info: SensorInfo) -> None:
        self.device = info.device
        self.sensors = (info,)
        self._path = zone / "energy_uj"

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return one counter for each package, package memory and platform domain that can be read."""
        found: list[SensorInfo] = []
        problems: list[SensorUnavailable] = []
        for zone in sorted(p for p in cls.root.glob("intel-rapl:*") if _ZONE.fullmatch(p.name)):
            try:
                if (info := _facts(zone)) is not None:
                    found.append(info)
            except SensorUnavailable as error:
                problems.append(error)
        if not found:
            if problems:
                raise problems[0]
            raise SensorUnavailable(
                f"{cls.root} holds no readable RAPL domain", "on bare metal: `modprobe intel_rapl_msr`"
            )
        return _contained(found)

    @classmethod
    def default_devices(cls, infos: tuple[SensorInfo, ...]) -> tuple[str, ...]:
        """Return the packages and their memory; the platform domain only where there is no package."""
        parts = [info.device for info in infos if info.scope in {"package", "memory"}]
        packages = any(info.scope == "package" for info in infos)
        return tuple(parts if packages else (info.device for info in infos))

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a domain by zone (`intel-rapl:0`), path, name (`package-0`) or a package's number."""
        zone = Path(device) if "/" in device else cls._find(device)
        if not zone.is_dir():
            raise SensorUnavailable(f"no RAPL domain {device} in {cls.root}")
        info = _facts(zone)
        if info is None:
            raise SensorUnavailable(f"RAPL domain {device} is a part of a package, not one that is metered")
        return cls(zone, info)

    @classmethod
    def _find(cls, device: str) -> Path:
        wanted = f"package-{device}" if device.isdecimal() else device
        for zone in cls.root.glob("intel-rapl:*"):
            if zone.name == device or _text(zone / "name", default="") == wanted:
                return zone
        return cls.root / device

    def read(self, sensor: SensorInfo) -> Reading:  # noqa: ARG002 - there is only one
        """Read the counter."""
        t0_ns = perf_counter_ns()
        energy_uj = _number(self._path)
        return Reading(t0_ns, perf_counter_ns(), energy_j=energy_uj * _JOULES_PER_UJ)

    def native(self, sensor: SensorInfo) -> NativeRead:  # noqa: ARG002 - there is only one
        """Return the file to read."""
        return NativeRead(op=1, scale=_JOULES_PER_UJ, path=str(self._path))

    def locate(self) -> str:
        """Return the domain's path, by which another process finds it whatever its `root`."""
        return str(self._path.parent)


def _facts(zone: Path) -> SensorInfo | None:
    name = _text(zone / "name")
    scope: Scope
    if name.startswith("package"):
        scope = "package"
    elif name == "dram":
        scope = "memory"
    elif name == "psys":
        scope = "node"
    else:
        return None  # core and uncore are inside their package and answer no question of ours
    _number(zone / "energy_uj")
    label = name
    if scope == "memory" and zone.name.count(":") > 1:
        label = f"{_text(zone.parent / zone.name.rpartition(':')[0] / 'name', default='package')} {name}"
    range_uj = _number(zone / "max_energy_range_uj")
    return SensorInfo(
        source="rapl",
        device=zone.name,
        label=label,
        kind="counter",
        scope=scope,
        wrap_j=range_uj * _JOULES_PER_UJ,
        lag_s=0.0,  # the processor accounts as it works, and shows it at the next update
    )


def _contained(found: list[SensorInfo]) -> tuple[SensorInfo, ...]:
    """Mark what the platform domain contains: everything else."""
    platform = next((info.device for info in found if info.scope == "node"), None)
    return tuple(info if info.device == platform else replace(info, within=platform) for info in found)


def _text(path: Path, default: str | None = None) -> str:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        if default is not None:
            return default
        remedy = _REMEDY if isinstance(error, PermissionError) else None
        raise SensorUnavailable(f"cannot read {path}: {error.strerror}", remedy) from error
    try:
        return os.read(fd, 64).decode("ascii", "replace").strip()
    except OSError as error:
        raise SensorError(f"cannot read {path}: {error.strerror}") from error
    finally:
        os.close(fd)


def _number(path: Path) -> int:
    text = _text(path)
    if not text.isdecimal():
        raise SensorError(f"{path} holds {text!r}, no number")
    return int(text)
