"""Power meters that the kernel shows under `/sys/class/hwmon`: ACPI power meters (NVIDIA Grace, servers).

Facts: the kernel's `Documentation/hwmon/acpi_power_meter.rst` and `sysfs-interface.rst`: `powerN_average` and
`powerN_input` are microwatts, `powerN_average_interval` milliseconds, `energyN_input` microjoules. On Grace,
`powerN_oem_info` names the domain; the module contains the Grace socket, which contains its CPU and I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Self

from harness.energy.sensors.base import (
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
from harness.energy.sensors.names import choose
from harness.energy.sensors.plausible import power_fault

HWMON = Path("/sys/class/hwmon")
METERS = {"power_meter", "acpi_power_meter", "amd_energy"}
"""Drivers whose readings are those of a package, module or node; others meter fans, disks and batteries."""
_MICRO, _MILLI = 1e-6, 1e-3
_CHANNEL = re.compile(r"(power|energy)\d+")
_CONTAINS = {
    "Module Power": ("Grace Power", "CPU Power", "SysIO Power"),
    "Grace Power": ("CPU Power", "SysIO Power"),
}


@dataclass(frozen=True, slots=True)
class _Channel:
    path: Path
    info: SensorInfo


class HwmonMeter(PowerMeter):
    """One channel, by `hwmonN:powerN` or its label, e.g. `Module Power Socket 0`."""

    source = "hwmon"
    root: Path = HWMON

    def __init__(self, channel: _Channel) -> None:
        self.device = channel.info.device
        self.sensors = (channel.info,)
        self._path = channel.path

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return every channel of the drivers that meter power."""
        found = [channel.info for channel in cls._channels()]
        if not found:
            if gone := cls.unreadable():
                raise SensorUnavailable(gone[0].reason, gone[0].remedy)
            raise SensorUnavailable(
                f"{cls.root} holds no power meter", "on ACPI machines: `modprobe acpi_power_meter`"
            )
        return tuple(found)

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a channel by name, path or label."""
        channels = {channel.info.device: channel for channel in cls._channels()}
        names = {d: [c.info.label, str(c.path)] for d, c in channels.items()}
        return cls(channels[choose(device, f"power meter in {cls.root}", names)])

    @classmethod
    def unreadable(cls) -> tuple[Unreadable, ...]:
        """Return the channels that this user may not read, or that hold no number."""
        readable = {channel.info.device for channel in cls._channels()}
        gone = []
        for chip, name in cls._found():
            path = next(p for s, _ in _suffixes(name) if (p := chip / f"{name}_{s}").exists())
            if f"{chip.name}:{name}" not in readable:
                label = _label(chip, name)
                reason = f"cannot read {path}: {_text(path) or 'permission denied, or no answer'}"
                remedy = f"let the user read it, e.g. `sudo chmod a+r {path}`"
                gone.append(Unreadable(f"{chip.name}:{name}", label, _scope(label), reason, remedy))
        return tuple(gone)

    @classmethod
    def _found(cls) -> list[tuple[Path, str]]:
        """Return the channels that are there, readable or not, in the order of their numbers."""
        found = []
        for chip in sorted(cls.root.glob("hwmon*"), key=lambda chip: _order(chip.name)):
            if _text(chip / "name") in METERS:
                files = [p.name for p in chip.iterdir() if p.name.endswith(("_average", "_input"))]
                names = {m[0] for name in files if (m := _CHANNEL.match(name))}
                found += [(chip, name) for name in sorted(names, key=_order)]
        return found

    @classmethod
    def _channels(cls) -> list[_Channel]:
        found = [c for chip, name in cls._found() if (c := _channel(chip, name)) is not None]
        labels = {channel.info.label: channel.info.device for channel in found}
        return [_Channel(c.path, _contained(c.info, labels)) for c in found]

    def read(self, sensor: SensorInfo) -> Reading:
        """Read the channel."""
        t0_ns = perf_counter_ns()
        text = _text(self._path)
        if text is None or not text.isdecimal():
            raise SensorError(f"{self._path} holds {text!r}, no number")
        t1_ns, value = perf_counter_ns(), int(text) * _MICRO
        if sensor.kind == "counter":
            return Reading(t0_ns, t1_ns, energy_j=value)
        return Reading(t0_ns, t1_ns, power_w=value)

    def native(self, sensor: SensorInfo) -> NativeRead:  # noqa: ARG002 - there is only one
        """Return the file to read."""
        return NativeRead(op=1, scale=_MICRO, path=str(self._path))

    def locate(self) -> str:
        """Return the channel's path, by which another process finds it."""
        return str(self._path)


def _channel(chip: Path, name: str) -> _Channel | None:
    for suffix, kind in _suffixes(name):
        path = chip / f"{name}_{suffix}"
        text = _text(path)
        if text is None or not text.isdecimal():
            continue
        label = _label(chip, name)
        interval = _text(chip / f"{name}_average_interval") or ""
        window_s = int(interval) * _MILLI if kind == "average" and interval.isdecimal() else None
        info = SensorInfo(
            "hwmon", f"{chip.name}:{name}", label, kind, _scope(label), quantum=_MICRO,
            averaging_window_s=window_s, rated_w=_rated_w(chip, name),
        )  # fmt: skip
        return _Channel(path, info)
    return None


def _suffixes(name: str) -> tuple[tuple[str, Kind], ...]:
    if name.startswith("energy"):
        return (("input", "counter"),)
    return ("average", "average"), ("input", "instant")


def _label(chip: Path, name: str) -> str:
    return _text(chip / f"{name}_oem_info") or _text(chip / f"{name}_label") or name


def _rated_w(chip: Path, name: str) -> float | None:
    """Return what the kernel says that the channel's domain may draw at most, where it says so."""
    known = [_text(chip / f"{name}_{limit}") or "" for limit in ("rated_max", "cap_max")]
    watts = [int(text) * _MICRO for text in known if text.isdecimal() and int(text) > 0]
    # All ones is no limit; a ceiling that no device reaches is none.
    return next((w for w in watts if power_fault(w, "node") is None), None)


def _order(name: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", name)]


def _scope(label: str) -> Scope:
    if label.startswith("Module"):
        return "module"
    return "package" if label.startswith(("Grace", "CPU", "SysIO", "Esocket", "Ecore")) else "node"


def _contained(info: SensorInfo, labels: dict[str, str]) -> SensorInfo:
    """Mark a domain that another one contains, e.g. the CPU of a Grace socket."""
    from dataclasses import replace

    for outer, inner in _CONTAINS.items():
        for part in inner:
            holder = info.label.replace(part, outer, 1)
            if info.label.startswith(part) and holder in labels:
                return replace(info, within=labels[holder])
    return info


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(64).decode("ascii", "replace").strip()
    except OSError:
        return None
