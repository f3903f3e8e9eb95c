"""An external power meter, read from a file that something else appends to, or from a command.

A device is `file:PATH`, a CSV whose lines are `time,watts`, time being ISO 8601 or seconds since 1970; or
`command:PROGRAM ARGUMENTS`, which prints the watts. A file's values keep their own times.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from harness.energy.sensors.base import PowerMeter, Reading, SensorError, SensorInfo, SensorUnavailable

_TAIL_BYTES = 4096
_STALE_S = 10.0
"""A file whose last line is older is no longer written."""
_TIMEOUT_S = 5.0
_HOW = "name it: power.devices=[file:PATH] or [command:PROGRAM]"


class ExternalMeter(PowerMeter):
    """One external meter; its scope is the node, since a plug is what such meters usually sit on."""

    source = "meter"
    pause_s = 0.1

    def __init__(self, device: str) -> None:
        self.device = device
        self._what, _, self._where = device.partition(":")
        if self._what not in {"file", "command"} or not self._where:
            raise SensorUnavailable(f"no external meter {device!r}", _HOW)
        self.sensors = (SensorInfo("meter", device, f"external meter ({self._what})", "instant", "node"),)
        # Taken once: a line that is read twice is at one moment.
        self._ahead_ns = time.time_ns() - time.perf_counter_ns()
        try:
            self.read(self.sensors[0])
        except SensorError as error:
            raise SensorUnavailable(error.reason) from error

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Raise: a meter outside the machine cannot be found, it must be named."""
        raise SensorUnavailable("no external meter is named", _HOW)

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a meter by `file:PATH` or `command:PROGRAM ARGUMENTS`."""
        return cls(device)

    def read(self, sensor: SensorInfo) -> Reading:  # noqa: ARG002 - there is only one
        """Return the file's last line, at its own time, or what the command prints now."""
        return self._from_file() if self._what == "file" else self._from_command()

    def _from_file(self) -> Reading:
        path = Path(self._where)
        try:
            with path.open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                lines = file.read(_TAIL_BYTES).decode("utf-8", "replace").split("\n")[:-1]  # whole ones
        except OSError as error:
            raise SensorError(f"{path}: {error.strerror}") from error
        last = next((line for line in reversed(lines) if line.strip()), "")
        moment, _, rest = last.partition(",")
        epoch_s, watts = _epoch_s(moment.strip()), _watts(rest.partition(",")[0])
        if epoch_s is None or watts is None:
            raise SensorError(f"{path}: the last line is not `time,watts`: {last[:80]!r}")
        age_s = time.time() - epoch_s
        if not -1.0 < age_s < _STALE_S:
            raise SensorError(f"{path}: the last line is {age_s:.0f} s old")
        then_ns = round(epoch_s * 1e9) - self._ahead_ns
        return Reading(then_ns, then_ns, power_w=watts)

    def _from_command(self) -> Reading:
        t0_ns = time.perf_counter_ns()
        try:
            done = subprocess.run(
                shlex.split(self._where), stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S,
                check=False,
            )  # fmt: skip
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise SensorError(f"{self._where}: {error}") from error
        watts = _watts(done.stdout[:_TAIL_BYTES].decode("utf-8", "replace"))
        if done.returncode != 0 or watts is None:
            raise SensorError(f"{self._where}: exit code {done.returncode}, and no number of watts")
        return Reading(t0_ns, time.perf_counter_ns(), power_w=watts)


def _epoch_s(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _watts(text: str) -> float | None:
    """Return a power; None where the text is none: a meter that shows 0 W is still a reading."""
    try:
        watts = float(text.strip())
    except ValueError:
        return None
    return watts if 0 <= watts < 1e7 else None
