"""The newest power in a log that another tool appends to, and in words what was taken of it.

A header that comes again, or that another run of the tool has added, holds from there on. Rows of several
devices are added up, each at its newest; where one of them falls silent there is no sum.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.energy.sensors.base import SensorError
from harness.energy.sensors.log_columns import time_scale, watts_of
from harness.energy.sensors.log_layout import Layout, Row, headerless, layout_of
from harness.energy.sensors.log_times import epoch_s, local_zone, names_zone, zone_of

OPTIONS = ("column", "device", "unit", "zone")
_HEAD_BYTES, _TAIL_BYTES, _WIDE_TAIL_BYTES = 16 << 10, 64 << 10, 1 << 20
"""turbostat writes a line for each CPU, and the machine's own line before them."""
_STALE_S, _AHEAD_S, _ZONE_SLIP_S = 10.0, 1.0, 900.0
"""A log whose newest line is older, or lies further ahead, is not written now by this machine's clock."""
_CELL = re.compile(r"(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?P<unit>[A-Za-zµ/%]*)")
_COMMA_NUMBER = re.compile(r"-?\d+,\d+(?:\s*[A-Za-zµ]+)?")


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest moment of a log, in seconds since 1970, and the power in watts then."""

    epoch_s: float
    watts: float


class PowerLog:
    """One log with the user's choices: `column`, `device`, `unit` and `zone`."""

    def __init__(self, path: Path, options: Mapping[str, str]) -> None:
        """Read it once, and settle what is taken.

        Raises:
            SensorError: it reports no power; the reason says what to change.
        """
        self._path, self._options = path, options
        self._zone = zone_of(options.get("zone", ""))
        self._devices: tuple[str, ...] = ()
        self.layout, rows = self._rows()
        self._devices = tuple(rows)
        self.taken = self._words(next(iter(rows.values())))
        self.last()

    def last(self) -> Newest:
        """Return the newest power.

        Raises:
            SensorError: no number, an old one, or one of the devices is silent.
        """
        layout, rows = self._rows()
        if silent := [d for d in self._devices if d not in rows]:
            raise SensorError(f"{self._path}: no line of {', '.join(silent)} any more: the sum would lack it")
        now_s = time.time()
        moments, watts = [], 0.0
        for row in rows.values():
            moments.append(self._moment(layout, row, now_s))
            watts += self._watts(layout, row)
        return Newest(max(moments), watts)

    def _rows(self) -> tuple[Layout, dict[str, Row]]:
        """Return the newest line of each device that is wanted, by the header above it."""
        head, tail = self._read()
        layout = self._first_layout(head)
        rows: dict[str, Row] = {}
        before: Row | None = None
        for line, below in _pairs(tail):
            if layout.tool != "PTDaemon" and ("#Entity" in line or not line[:1].isdigit()):
                again = layout_of(line, below, self._options)
                if again is not None and again != layout:
                    layout, rows = again, {}
                if again is not None:
                    continue
            if (row := layout.row(line)) is None:
                continue
            if (
                not layout.devices
                and before is not None
                and row.time == before.time != ""
                and _is_smi(layout)
            ):
                raise SensorError(
                    f"{self._path}: several rows at one time and none says of which device: log index"
                )
            before = rows[row.device] = row
        return layout, self._wanted(rows)

    def _read(self) -> tuple[list[str], list[str]]:
        try:
            with self._path.open("rb") as file:
                head = file.read(_HEAD_BYTES).decode("utf-8-sig", "replace").split("\n")
                wide = any("PkgWatt" in line for line in head)
                start = max(0, file.seek(0, 2) - (_WIDE_TAIL_BYTES if wide else _TAIL_BYTES))
                file.seek(start)
                tail = file.read(_WIDE_TAIL_BYTES).decode("utf-8-sig", "replace").split("\n")
        except OSError as error:
            raise SensorError(f"{self._path}: {error.strerror}") from error
        return [line.rstrip("\r") for line in head], [line.rstrip("\r") for line in tail[start > 0 : -1]]

    def _first_layout(self, head: list[str]) -> Layout:
        lines = [line for line in head if line.strip()]
        try:
            for line, below in _pairs(lines):
                if (layout := layout_of(line, below, self._options)) is not None:
                    return layout
            if lines and (layout := headerless(self._options, lines[0])) is not None:
                return layout
        except SensorError as error:
            raise SensorError(f"{self._path}: {error.reason}") from error
        if not lines:
            raise SensorError(f"{self._path}: it is empty")
        raise SensorError(
            f"{self._path}: no header names a time and a power in watts ({lines[0][:80]!r}): begin it with "
            "time,power_w; for two columns without a header say their unit, file:PATH?unit=W"
        )

    def _wanted(self, rows: dict[str, Row]) -> dict[str, Row]:
        if not rows:
            raise SensorError(f"{self._path}: no whole line below its header yet")
        wanted = [w.strip().casefold() for w in self._options.get("device", "").split(",") if w.strip()]
        if not wanted:
            return rows
        names = {device: {n.casefold() for n in row.names} for device, row in rows.items()}
        if unknown := [w for w in wanted if not any(w in n for n in names.values())]:
            there = ", ".join(rows) or "none"
            raise SensorError(f"{self._path}: no device {', '.join(unknown)}; there are: {there}")
        return {d: row for d, row in rows.items() if names[d] & set(wanted)}

    def _moment(self, layout: Layout, row: Row, now_s: float) -> float:
        scale = time_scale(layout.times[0]) if len(layout.times) == 1 else None
        changed_s = None if row.time else self._path.stat().st_mtime
        moment = changed_s or epoch_s(row.time, now_s, self._zone, scale)
        if moment is None:
            raise SensorError(
                f"{self._path}: {row.time[:40]!r} is no time: write ISO 8601 or a number since 1970"
            )
        age_s = now_s - moment
        if -_AHEAD_S < age_s < _STALE_S:
            return moment
        of = f" of {row.device}" if row.device else ""
        old = f"{age_s:.0f} s old" if age_s > 0 else f"{-age_s:.0f} s ahead of this machine's clock"
        hint = ""
        if abs(age_s) > _ZONE_SLIP_S and row.time and not names_zone(row.time) and not self._zone:
            hint = f": it names no zone and was taken for {local_zone()}; say another, file:PATH?zone=UTC"
        raise SensorError(f"{self._path}: the last line{of} is {old}{hint}")

    def _watts(self, layout: Layout, row: Row) -> float:
        cell = row.cell
        if layout.separator == ";" and _COMMA_NUMBER.fullmatch(cell):
            cell = cell.replace(",", ".")
        found = _CELL.fullmatch(cell)
        of = f" of {row.device}" if row.device else ""
        if found is None:
            raise SensorError(
                f"{self._path}: column {layout.power.header}{of} holds {cell[:40]!r}, no number"
            )
        unit = found["unit"] or layout.power.unit
        scale = watts_of(unit)
        if scale is None:
            said = f"is in {unit}" if unit else "names no unit"
            raise SensorError(f"{self._path}: column {layout.power.header} {said}: name it W, or say ?unit=W")
        if found["unit"] and layout.power.unit and scale != layout.power.watts:
            raise SensorError(
                f"{self._path}: column {layout.power.header} is in {layout.power.unit} and holds {cell!r}"
            )
        return float(found["number"]) * scale

    def _words(self, row: Row) -> str:
        layout = self.layout
        if not row.time:
            when = "times of the file's last change, since the tool writes none"
        else:
            named = " and ".join(c.header for c in layout.times)
            zone = self._options.get("zone") or f"this machine's zone, {local_zone()}"
            when = f"times of {named}" + ("" if names_zone(row.time) else f" in {zone}")
        who = ""
        if any(self._devices):
            listed = ", ".join(self._devices)
            who = f", the sum of {listed}" if len(self._devices) > 1 else f", {listed}"
        unit = layout.power.unit or "the unit in its cells"
        return f"{layout.tool}: column {layout.power.header} in {unit}, {when}{who}"


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each line with the one below it."""
    yield from zip(lines, [*lines[1:], ""], strict=False)


def _is_smi(layout: Layout) -> bool:
    return layout.power.name.startswith("power.draw")
