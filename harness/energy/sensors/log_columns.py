"""Which column of a log is a power, in which unit, of which device and at which time: by its header alone.

A number is a power only where the header, its cell or a tool's own definition names watts. Without a unit in
its header stands amd-smi's `socket_power` and `power_usage` (AMD SMI CLI reference: W).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SCALES = {
    "w": 1.0,
    "watt": 1.0,
    "watts": 1.0,
    "kw": 1e3,
    "kilowatt": 1e3,
    "kilowatts": 1e3,
    "mw": 1e-3,
    "milliwatt": 1e-3,
    "milliwatts": 1e-3,
    "uw": 1e-6,
    "µw": 1e-6,
    "microwatts": 1e-6,
}
_BRACKETS = re.compile(r"(?P<name>.*?)\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]\s*")
_SUFFIX = re.compile(r"(?P<name>.+?)[ _./-](?P<unit>[kmuµ]?[wW]|MW|(?i:(?:kilo|milli|micro)?watts?))")
_CAMEL = re.compile(r"(?P<name>[A-Za-z]+)(?P<unit>Watts?)")
_NOT_DRAWN = re.compile(
    r"limit|cap(?![a-z])|max|min(?!e)|default|tdp|budget|rated|manage|request|enforce|threshold|"
    r"average_since|reserve|setpoint|target|apparent|reactive|factor|capacity|saved|solar",
    re.IGNORECASE,
)
"""Watts that nothing draws: limits and their kin."""
_TIMES = re.compile(
    r"#?\s*(?:time(?:_?stamp)?|ts|epoch|unix(?:_?time)?|date[ _]?time|time_of_day_seconds|date)",
    re.IGNORECASE,
)
_TIME_UNITS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
DEVICE_NAMES = (
    *("uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id", "index", "gpu", "gpu_id", "gpu_index", "deviceid"),
    *("device_id", "device", "entity"),
)
"""Columns that tell devices apart, the surest first; a product's name does not."""
_BY_DEFINITION = frozenset({"socket_power", "power_usage", "current_socket_power", "average_socket_power"})
_PREFERRED = ("power.draw.instant", "power.draw", "power.draw.average", "socket_power", "pkgwatt", "power")
"""Of several powers of a device, the one to take unasked; where none of these is there, the user chooses."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its place, its name as the header has it, and its unit; no unit is an empty one."""

    place: int
    header: str
    name: str
    unit: str

    @property
    def watts(self) -> float | None:
        """Return how many watts its unit is, or None where it is no unit of power."""
        return watts_of(self.unit)


def watts_of(unit: str) -> float | None:
    """Return how many watts a unit is, or None. `mW` and `mw` are thousandths, `MW` is a million."""
    return 1e6 if unit == "MW" else _SCALES.get(unit.strip().lower())


def parse(header: Sequence[str]) -> list[Column]:
    """Read a header's cells."""
    return [_column(place, cell.strip().strip('"').lstrip("#").strip()) for place, cell in enumerate(header)]


def _column(place: int, cell: str) -> Column:
    if watts_of(cell) is not None:
        return Column(place, cell, "power", cell)
    for pattern in (_BRACKETS, _SUFFIX, _CAMEL):
        if found := pattern.fullmatch(cell):
            name = cell if pattern is _CAMEL else found["name"]
            return Column(place, cell, name, found["unit"])
    return Column(place, cell, cell, "W" if cell.lower() in _BY_DEFINITION else "")


def powers(columns: Sequence[Column]) -> list[Column]:
    """Return the columns that hold a drawn power, as far as the header says: in watts, or without a unit."""
    return [
        c
        for c in columns
        if not _NOT_DRAWN.search(c.name)
        and (c.watts is not None or (not c.unit and re.search(r"power|watt|pwr", c.name, re.IGNORECASE)))
    ]


def preferred(found: Sequence[Column]) -> Column | None:
    """Return the column to take unasked; None where several could be meant."""
    named = [c for c in found if c.watts is not None] or list(found)
    if len(named) == 1:
        return named[0]
    for name in _PREFERRED:
        matching = [c for c in named if c.name.lower() == name]
        if len(matching) == 1:
            return matching[0]
    return None


def times(columns: Sequence[Column]) -> list[Column]:
    """Return the columns that report the time: one, or a date and a time of day."""
    found = [c for c in columns if _TIMES.fullmatch(_time_name(c))]
    dates = [c for c in found if c.name.lower() == "date"]
    days = [c for c in found if c.name.lower() == "time"]
    if dates and days:
        return [dates[0], days[0]]
    return found[:1]


def time_scale(column: Column) -> float | None:
    """Return how many seconds the unit of a column of times is, where its header names one."""
    unit = column.unit or column.name.rpartition("_")[2]
    return _TIME_UNITS.get(unit.lower())


def devices(columns: Sequence[Column]) -> list[Column]:
    """Return the columns that tell devices apart, the surest first."""
    found = [c for name in DEVICE_NAMES for c in columns if c.name.lower() == name]
    return list(dict.fromkeys(found))


def _time_name(column: Column) -> str:
    stem, _, unit = column.name.rpartition("_")
    return stem if stem and unit.lower() in _TIME_UNITS else column.name
