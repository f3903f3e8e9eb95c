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
    Unreadable,
)
from harness.energy.sensors.names import choose

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
        found, gone = cls._survey()
        if not found:
            if gone:
                raise SensorUnavailable(gone[0].reason, gone[0].remedy)
            raise SensorUnavailable(
                f"{cls.root} holds no readable RAPL domain", "on bare metal: `modprobe intel_rapl_msr`"
            )
        return _contained(found)

    @classmethod
    def unreadable(cls) -> tuple[Unreadable, ...]:
        """Return the packages and their memory that this user may not read, or that hold no number."""
        return tuple(gone for gone in cls._survey()[1] if gone.scope != "node")

    @classmethod
    def _survey(cls) -> tuple[list[SensorInfo], list[Unreadable]]:
        found: list[SensorInfo] = []
        gone: list[Unreadable] = []
        for zone in cls._zones():
            try:
                scope = _domain(zone)[1]
                if scope is not None:
                    found.append(_facts(zone))
            except SensorError as error:
                gone.append(Unreadable(zone.name, _label(zone), scope, error.reason, error.remedy))
        return found, gone

    @classmethod
    def _zones(cls) -> list[Path]:
        """Return the domains in the order of their numbers, which is not that of their letters."""
        zones = [p for p in cls.root.glob("intel-rapl:*") if _ZONE.fullmatch(p.name)]
        return sorted(zones, key=lambda zone: [int(n) for n in zone.name.split(":")[1:]])

    @classmethod
    def default_devices(cls, infos: tuple[SensorInfo, ...]) -> tuple[str, ...]:
        """Return the packages and their memory; the platform domain only where there is no package."""
        parts = [info.device for info in infos if info.scope in {"package", "memory"}]
        packages = any(info.scope == "package" for info in infos)
        return tuple(parts if packages else (info.device for info in infos))

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a domain by zone (`intel-rapl:0`), path, name (`package-0`) or a package's number."""
        zone = Path(device) if "/" in device else cls.root / cls._find(device)
        if not zone.is_dir():
            raise SensorUnavailable(f"no RAPL domain {device} in {cls.root}")
        if _domain(zone)[1] is None:
            raise SensorUnavailable(f"RAPL domain {device} is a part of a package, not one that is metered")
        return cls(zone, _facts(zone))

    @classmethod
    def _find(cls, device: str) -> str:
        zones = cls._zones()
        names = {z.name: [_text(z / "name", default=""), _label(z)] for z in zones}
        if device.isdecimal():  # a package's number, whatever its place; several dies share one
            packages = re.compile(rf"package-{device}(-die-\d+)?")
            names = {z: [device] if packages.fullmatch(n[0]) else n for z, n in names.items()}
        return choose(device, "RAPL domain", names)

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


def _domain(zone: Path) -> tuple[str, Scope | None]:
    """Return a domain's name and scope; cores are inside their package and answer no question of ours."""
    name = _text(zone / "name", default=zone.name)
    scopes: dict[str, Scope] = {"package": "package", "dram": "memory", "psys": "node"}
    return name, scopes.get(name.partition("-")[0])


def _label(zone: Path) -> str:
    name = _text(zone / "name", default=zone.name)
    if name != "dram" or zone.name.count(":") < 2:
        return name
    return f"{_text(zone.parent / zone.name.rpartition(':')[0] / 'name', default='package')} {name}"


def _facts(zone: Path) -> SensorInfo:
    scope = _domain(zone)[1]
    assert scope is not None
    _number(zone / "energy_uj")
    return SensorInfo(
        source="rapl",
        device=zone.name,
        label=_label(zone),
        kind="counter",
        scope=scope,
        wrap_j=_number(zone / "max_energy_range_uj") * _JOULES_PER_UJ,
        lag_s=0.0,  # the processor accounts as it works, and shows it at the next update
        rated_w=_rated_w(zone),
    )


def _rated_w(zone: Path) -> float | None:
    """Return what the domain can draw by its own word; many say 0, which is none."""
    limits = [_text(path, default="") for path in zone.glob("constraint_*_max_power_uw")]
    known = [int(text) * _JOULES_PER_UJ for text in limits if text.isdecimal() and int(text) > 0]
    return max(known, default=None)


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
