"""An external power meter, read from a log that another tool appends to, or from a command.

A device is `file:PATH`, a log whose header names time and power (`power_log`), with choices behind a `?`:
`column=NAME`, `device=1` or `0,1`, `unit=W`, `zone=Europe/Berlin`, joined by `&`; or `command:PROGRAM
ARGUMENTS`, which prints watts, or a number with its unit. A log's values keep their own times.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl

from harness.energy.sensors.base import PowerMeter, Reading, SensorError, SensorInfo, SensorUnavailable
from harness.energy.sensors.log_columns import watts_of
from harness.energy.sensors.power_log import OPTIONS, PowerLog
from harness.system.private import shown_device

_OUTPUT_BYTES = 4096
_TIMEOUT_S = 5.0
_HOW = "name it: power.devices=[file:PATH] or [command:PROGRAM]"
_PRINTED = re.compile(r"(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?P<unit>[A-Za-zµ]*)")


class ExternalMeter(PowerMeter):
    """One external meter; its scope is the node, unless the log's tool meters something else."""

    source = "meter"
    pause_s = 0.1

    def __init__(self, device: str) -> None:
        self.device = device
        self._what, _, self._where = device.partition(":")
        if self._what not in {"file", "command"} or not self._where:
            raise SensorUnavailable(f"no external meter {device!r}", _HOW)
        # Taken once: a line that is read twice is at one moment.
        self._ahead_ns = time.time_ns() - time.perf_counter_ns()
        self._log: PowerLog | None = None
        label, name = f"external meter ({self._what})", shown_device(device)
        self._shown = name.partition(":")[2]
        try:
            if self._what == "file":
                self._log = log = PowerLog(*_choices(self._where))
                info = SensorInfo("meter", name, label, log.layout.kind, log.layout.scope, taken=log.taken)
            else:
                info = SensorInfo("meter", name, label, "instant", "node", taken="what it prints, in W")
            self.sensors = (info,)
            self.read(info)
        except SensorError as error:
            raise SensorUnavailable(error.reason, error.remedy) from error

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Raise: a meter outside the machine cannot be found, it must be named."""
        raise SensorUnavailable("no external meter is named", _HOW)

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a meter by `file:PATH` or `command:PROGRAM ARGUMENTS`."""
        return cls(device)

    def read(self, sensor: SensorInfo) -> Reading:  # noqa: ARG002 - there is only one
        """Return the log's newest power, at its own time, or what the command prints now."""
        if self._log is None:
            return self._from_command()
        newest = self._log.last()
        then_ns = round(newest.epoch_s * 1e9) - self._ahead_ns
        return Reading(then_ns, then_ns, power_w=newest.watts)

    def _from_command(self) -> Reading:
        t0_ns = time.perf_counter_ns()
        try:
            done = subprocess.run(
                shlex.split(self._where), stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S,
                check=False,
            )  # fmt: skip
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise SensorError(f"{self._shown}: {type(error).__name__}") from error
        printed = done.stdout[:_OUTPUT_BYTES].decode("utf-8", "replace").strip()
        watts = _watts(printed)
        if done.returncode != 0 or watts is None:
            raise SensorError(
                f"{self._shown}: exit code {done.returncode}, and no number of watts: {printed[:80]!r}"
            )
        return Reading(t0_ns, time.perf_counter_ns(), power_w=watts)


def _choices(where: str) -> tuple[Path, dict[str, str]]:
    """Split `PATH?column=NAME&device=1`; a file that has the whole name is that file."""
    path, mark, query = where.rpartition("?")
    if not mark or Path(where).exists():
        return Path(where), {}
    chosen = dict(parse_qsl(query, keep_blank_values=True))
    if not chosen or (unknown := set(chosen) - set(OPTIONS)):
        said = ", ".join(sorted(unknown)) if chosen else query
        raise SensorUnavailable(f"file:{where}: {said} is no choice; there are: {', '.join(OPTIONS)}")
    return Path(path), chosen


def _watts(printed: str) -> float | None:
    """Return a power; None where the text is none, or in another unit."""
    found = _PRINTED.fullmatch(printed)
    scale = watts_of(found["unit"] or "W") if found else None
    return None if found is None or scale is None else float(found["number"]) * scale
