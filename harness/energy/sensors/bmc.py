"""Power of a whole node as its management controller tells it: `ipmitool` (DCMI) and Redfish. Read only.

Facts: `ipmitool dcmi power reading` prints `Instantaneous power reading: 220 Watts`; Redfish's `Power` of a
chassis holds `PowerControl[].PowerConsumedWatts` (DMTF DSP0268). Controllers renew such values about once a
second and answer slowly, so they are read at most once a second, with a deadline.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from abc import abstractmethod
from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any, Self
from urllib.parse import urlsplit

from harness.energy.sensors.base import PowerMeter, Reading, SensorError, SensorInfo, SensorUnavailable

_TIMEOUT_S = 5.0
_LIMIT_BYTES = 1 << 20
_DCMI = re.compile(r"Instantaneous power reading:\s*(\d+)\s*Watts")


class NodeMeter(PowerMeter):
    """A controller that tells the node's power."""

    pause_s = 1.0

    def __init__(self, device: str, label: str) -> None:
        self.device = device
        self.sensors = (
            SensorInfo(self.source, device, label, "instant", "node", quantum=1.0, update_period_s=1.0),
        )
        self.watts()

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
        found = _DCMI.search(done.stdout[:_LIMIT_BYTES].decode("ascii", "replace"))
        if done.returncode != 0 or found is None:
            said = done.stderr[:200].decode("ascii", "replace").strip() or "no power reading"
            raise SensorError(f"ipmitool: {' '.join(said.split())}")
        return float(found[1])


class RedfishMeter(NodeMeter):
    """A chassis of a Redfish service: `JOULEMARK_REDFISH_URL`, `…_USER` and `…_PASSWORD` say where and who.

    The URL must be https, and its certificate is verified (`JOULEMARK_REDFISH_CA` names a file of our own).
    """

    source = "redfish"

    def __init__(self, device: str, settings: Mapping[str, str]) -> None:
        self._url = f"{settings['URL'].rstrip('/')}/redfish/v1/Chassis/{device}/Power"
        self._settings = settings
        super().__init__(device, f"node power ({urlsplit(self._url).hostname})")

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return the power of the first chassis."""
        return cls.open("0").sensors

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a chassis by its id, or by its place in the list."""
        settings = {
            key: os.environ.get(f"JOULEMARK_REDFISH_{key}", "") for key in ("URL", "USER", "PASSWORD", "CA")
        }
        if not settings["URL"]:
            raise SensorUnavailable("no Redfish service is named", "set JOULEMARK_REDFISH_URL=https://…")
        if urlsplit(settings["URL"]).scheme != "https":
            raise SensorUnavailable("JOULEMARK_REDFISH_URL must be https: a password goes with it")
        try:
            if device.isdecimal():
                device = _members(fetch(f"{settings['URL'].rstrip('/')}/redfish/v1/Chassis", settings))[
                    int(device)
                ]
            return cls(device, settings)
        except IndexError as error:
            raise SensorUnavailable(f"the Redfish service has no chassis {device}") from error
        except SensorUnavailable:
            raise
        except SensorError as error:
            raise SensorUnavailable(error.reason, error.remedy) from error

    def watts(self) -> float:
        """Get the chassis' `Power` resource."""
        control = fetch(self._url, self._settings).get("PowerControl")
        watts = control[0].get("PowerConsumedWatts") if isinstance(control, list) and control else None
        if isinstance(watts, bool) or not isinstance(watts, int | float) or not watts > 0:
            raise SensorError(f"{self._url} holds no PowerConsumedWatts")
        return float(watts)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the password elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse it."""


def fetch(url: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Get one JSON object from the service, its certificate verified.

    Raises:
        SensorError: no answer in time, or not such an object.
    """
    try:
        context = ssl.create_default_context(cafile=settings.get("CA") or None)
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))
        request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - https only
        if settings.get("USER"):
            secret = base64.b64encode(f"{settings['USER']}:{settings['PASSWORD']}".encode()).decode()
            request.add_header("Authorization", f"Basic {secret}")
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            found = json.loads(answer.read(_LIMIT_BYTES))
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        raise SensorError(f"{urlsplit(url).hostname}: {error}") from error
    if not isinstance(found, dict):
        raise SensorError(f"{url}: not a JSON object")
    return found


def _members(collection: dict[str, Any]) -> list[str]:
    """Return the ids of a collection's members, which are the last parts of their paths."""
    members = collection.get("Members")
    paths = [m.get("@odata.id") for m in members if isinstance(m, dict)] if isinstance(members, list) else []
    ids = [path.rstrip("/").rpartition("/")[2] for path in paths if isinstance(path, str)]
    return [i for i in ids if re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", i)]
