"""How the lines of a power log are to be read, by its header: CSV, dcgmi, turbostat, PTDaemon.

Formats: `nvidia-smi --query-gpu=… --format=csv`, `amd-smi metric|monitor --csv`, `xpu-smi dump`, `dcgmi dmon`
(its second line names units), `turbostat` (the line with `-` is the machine's), and SPEC's PTDaemon, whose
lines name each of their values. CSV may have any separator.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.energy.sensors import log_columns
from harness.energy.sensors.base import Kind, Scope, SensorError
from harness.energy.sensors.log_columns import Column

PTD = re.compile(r"Time,(?P<time>[^,]+),Watts,(?P<watts>[^,]*)(?:,.*)?")
_ENTITY = re.compile(r"(?:(?P<time>.*?)\s+)?(?P<device>(?:GPU|GPU-I|GPU-CI|CPU)\s+\d+)\s+(?P<rest>.*)")
_DCGMI_POWER = "POWER"
"""Short name of field 155, DCGM_FI_DEV_POWER_USAGE: watts (NVIDIA DCGM, field identifiers)."""
_SUMMARY = ("Package", "Die", "Node", "Core", "CPU")
_HOW = "name it, e.g. file:PATH?column=NAME"


@dataclass(frozen=True, slots=True)
class Row:
    """One line's time, device and power, as text; a tool that writes no times has an empty one."""

    time: str
    device: str
    names: tuple[str, ...]
    """All that the line calls the device by."""
    cell: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What one header says of the lines below it."""

    tool: str
    power: Column
    separator: str | None = None
    """None splits at blanks."""
    times: tuple[Column, ...] = ()
    devices: tuple[Column, ...] = ()
    summary: tuple[Column, ...] = ()
    """turbostat: columns that hold `-` in the machine's own line."""
    width: int = 0

    @property
    def kind(self) -> Kind:
        """Return whether the tool averages."""
        averaged = self.tool == "turbostat" or self.power.name in {"power.draw", "power.draw.average"}
        return "average" if averaged else "instant"

    @property
    def scope(self) -> Scope:
        """Return what the tool meters; what is not known is taken for a plug."""
        if self.tool == "turbostat":
            return "package"
        gpu = re.search(r"gpu|power\.draw|socket_power|power_usage", self.power.name, re.IGNORECASE)
        return "gpu" if gpu or self.tool == "dcgmi" else "node"

    def row(self, line: str) -> Row | None:
        """Return what a line says, or None where it is no line of these."""
        if self.tool == "PTDaemon":
            found = PTD.fullmatch(line)
            return Row(found["time"], "", (), found["watts"]) if found else None
        if self.tool == "dcgmi":
            entity = _ENTITY.fullmatch(line.strip())
            values = entity["rest"].split() if entity else []
            if entity is None or len(values) <= self.power.place:
                return None
            device = " ".join(entity["device"].split())
            return Row(entity["time"] or "", device, (device, device.split()[1]), values[self.power.place])
        cells = split(line, self.separator)
        if len(cells) != self.width or any(cells[c.place] != "-" for c in self.summary):
            return None
        names = tuple(cells[c.place] for c in self.devices)
        when = " ".join(cells[c.place] for c in self.times)
        return Row(when, names[0] if names else "", names, cells[self.power.place])


def split(line: str, separator: str | None) -> list[str]:
    """Return a line's cells without the blanks and quotes around them."""
    if separator is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]


def layout_of(line: str, below: str, options: Mapping[str, str]) -> Layout | None:
    """Return how the lines below a header are to be read, or None where the line is no header.

    Raises:
        SensorError: it is one, and no column is told to be a power; the reason says what to change.
    """
    if PTD.fullmatch(line):
        return Layout("PTDaemon", Column(3, "Watts", "power", "W"), times=(Column(1, "Time", "Time", ""),))
    words = line.split()
    if "#Entity" in words:
        return _dcgmi(words, below)
    if ("PkgWatt" in words or "SysWatt" in words) and "," not in line:
        return _turbostat(words, options)
    separator = next((s for s in (";", "\t", ",") if s in line), None)
    return None if separator is None else _table(line, separator, options)


def headerless(options: Mapping[str, str], line: str) -> Layout | None:
    """Return the layout of `time,power` without a header, where the user named the unit."""
    separator = next((s for s in (";", "\t", ",") if s in line), ",")
    if "unit" not in options or len(split(line, separator)) != 2:
        return None
    power = Column(1, "the second column", "power", _unit(options))
    return Layout("no header", power, separator, (Column(0, "the first column", "time", ""),), width=2)


def _dcgmi(words: Sequence[str], below: str) -> Layout:
    names = list(words[words.index("#Entity") + 1 :])
    if _DCGMI_POWER not in names or "W" not in below.split():
        raise SensorError(f"dcgmi reports no power in W here ({' '.join(names)}): log field 155, dmon -e 155")
    place = names.index(_DCGMI_POWER)
    return Layout(
        "dcgmi", Column(place, _DCGMI_POWER, "gpu power", "W"), devices=(Column(0, "#Entity", "", ""),)
    )


def _turbostat(words: Sequence[str], options: Mapping[str, str]) -> Layout:
    columns = log_columns.parse(words)
    power = _chosen(columns, [c for c in columns if c.header in {"PkgWatt", "SysWatt"}][:1], options)
    times = tuple(c for c in columns if c.header == "Time_Of_Day_Seconds")
    summary = tuple(c for c in columns if c.header in _SUMMARY)
    return Layout("turbostat", power, None, times, summary=summary, width=len(columns))


def _table(line: str, separator: str, options: Mapping[str, str]) -> Layout | None:
    cells = split(line, separator)
    columns = log_columns.parse(cells)
    times = log_columns.times(columns)
    if not times:
        return None
    if any(c.name.lower() == "tileid" for c in columns):
        raise SensorError("its rows are of tiles, not of devices: log whole devices, without -t")
    found = [c for c in log_columns.powers(columns) if c not in times]
    power = _chosen(columns, found, options)
    devices = log_columns.devices(columns)
    return Layout("CSV", power, separator, tuple(times), tuple(devices), width=len(columns))


def _chosen(columns: Sequence[Column], found: Sequence[Column], options: Mapping[str, str]) -> Column:
    listed = ", ".join(c.header for c in columns)
    if wanted := options.get("column", "").casefold():
        found = [c for c in columns if wanted in {c.header.casefold(), c.name.casefold()}]
        if not found:
            raise SensorError(f"no column is called {options['column']}; there are: {listed}")
    power = log_columns.preferred(found)
    if power is None:
        several = ", ".join(c.header for c in found)
        reason = f"several columns are powers ({several})" if found else f"no column is a power ({listed})"
        raise SensorError(f"{reason}: {_HOW}")
    if power.watts is not None:
        return power
    if power.unit:
        raise SensorError(f"column {power.header} is in {power.unit}, which is no unit of power")
    unit = _unit(options) if "unit" in options else ""
    return Column(power.place, power.header, power.name, unit)


def _unit(options: Mapping[str, str]) -> str:
    unit = options["unit"]
    if log_columns.watts_of(unit) is None:
        raise SensorError(f"unit={unit} is no unit of power: W, kW or mW")
    return unit
