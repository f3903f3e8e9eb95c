"""Power of a whole node as its management controller reports it through `ipmitool` (DCMI). Read only.

Facts: `ipmitool dcmi power reading` prints `Instantaneous power reading: 220 Watts` and if the reading is
activated; OpenBMC says `deactivated` beside good values too, so that word alone refuses nothing. Controllers
renew such values about once a second and answer slowly: they are read at most once a second, with a deadline.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from abc import abstractmethod
from time import perf_counter_ns
from typing import Self

from harness.energy.sensors.base import (
    ImplausibleReading,
    PowerMeter,
    Reading,
    SensorError,
    SensorInfo,
    SensorUnavailable,
)

_TIMEOUT_S = 5.0
_LIMIT_BYTES = 1 << 20
_TRIES = 3
"""A controller that gives a power once in so many answers is open; its other answers are gaps."""
_DCMI = re.compile(r"Instantaneous power reading:\s*(\d+)\s*Watts")


class NodeMeter(PowerMeter):
    """A controller that reports the node's power."""

    pause_s = 1.0

    def __init__(self, device: str, label: str, rated_w: float | None = None, taken: str = "") -> None:
        """Ask it once.

        Raises:
            SensorError: it does not answer, or never with what can be true.
        """
        self.device = device
        self.sensors = (
            SensorInfo(
                self.source, device, label, "instant", "node", 1.0, update_period_s=1.0, rated_w=rated_w,
                taken=taken,
            ),
        )  # fmt: skip
        for tries_left in reversed(range(_TRIES)):
            try:
                self.read(self.sensors[0])
            except ImplausibleReading:
                if not tries_left:
                    raise
                time.sleep(self.pause_s)
            else:
                return

    @abstractmethod
    def watts(self) -> float:
        """Ask the controller.

        Raises:
            SensorError: it did not answer, or not with a power.
        """

    def read(self, sensor: SensorInfo) -> Reading:  # noqa: ARG002 - there is only one
        """Read the node's power; it takes as long as the controller does."""
        t0_ns = perf_counter_ns()
        watts = self.watts()
        return Reading(t0_ns, perf_counter_ns(), power_w=watts)


class IpmiMeter(NodeMeter):
    """This machine's own controller, through `ipmitool`."""

    source = "ipmi"

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return the node's power."""
        return cls.open("local").sensors

    @classmethod
    def open(cls, device: str) -> Self:
        """Open this machine's controller."""
        if device not in {"local", "0"}:
            raise SensorUnavailable(f"ipmi reads this machine's own controller, not {device}")
        if shutil.which("ipmitool") is None:
            raise SensorUnavailable(
                "ipmitool is not installed", "install ipmitool, and `modprobe ipmi_devintf`"
            )
        try:
            return cls("local", "node power (DCMI)")
        except SensorUnavailable:
            raise
        except ImplausibleReading as error:
            remedy = "switch its power reading on, or name another sensor"
            raise SensorUnavailable(error.reason, remedy) from error
        except SensorError as error:
            raise SensorUnavailable(error.reason, "let the user open /dev/ipmi0") from error

    def watts(self) -> float:
        """Run `ipmitool dcmi power reading`."""
        try:
            done = subprocess.run(
                ["ipmitool", "dcmi", "power", "reading"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SensorError(f"ipmitool: {error}") from error
        text = done.stdout[:_LIMIT_BYTES].decode("ascii", "replace")
        found = _DCMI.search(text)
        if done.returncode != 0 or found is None:
            said = done.stderr[:200].decode("ascii", "replace").strip() or "no power reading"
            raise SensorError(f"ipmitool: {' '.join(said.split())}")
        if int(found[1]) == 0 and "deactivated" in text:
            raise ImplausibleReading("the controller says 0 W: its power reading is deactivated")
        return float(found[1])
