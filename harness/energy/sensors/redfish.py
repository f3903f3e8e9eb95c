"""Power of a chassis as a Redfish service reports it (DMTF DSP0266, DSP0268). Read only, over verified https.

A chassis reports it in `PowerControl[].PowerConsumedWatts` of its `Power`, or, as newer services do, in
`PowerWatts.Reading` of its `EnvironmentMetrics`; either may be linked from elsewhere, entries may be null.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

from harness.energy.sensors.base import ImplausibleReading, SensorError, SensorInfo, SensorUnavailable
from harness.energy.sensors.bmc import NodeMeter
from harness.energy.sensors.names import choose
from harness.energy.sensors.redfish_service import chassis_paths, fetch, linked

_HOW = "set JOULEMARK_REDFISH_URL=https://…"
_OFF_STATES = frozenset({"Disabled", "Absent", "UnavailableOffline", "Deferring", "InTest", "Updating"})


class RedfishMeter(NodeMeter):
    """A chassis of a Redfish service: `JOULEMARK_REDFISH_URL`, `…_USER` and `…_PASSWORD` say where and who.

    The URL must be https, and its certificate is verified (`JOULEMARK_REDFISH_CA` names a file of our own).
    """

    source = "redfish"

    def __init__(self, device: str, path: str, settings: Mapping[str, str]) -> None:
        """Open the chassis of an id at a path of the service.

        Raises:
            SensorError: it reports no power.
        """
        self._settings = settings
        problem: SensorError | None = None
        for self._path in _power_paths(path, settings):
            try:
                self._place, _, label, rated_w = _reading(fetch(self._path, settings), self._path)
                break
            except SensorError as error:
                problem = error
        else:
            raise problem or SensorError(f"chassis {device} reports no power")
        host = urlsplit(settings["URL"]).hostname
        super().__init__(device, f"node power ({host}, {label})", rated_w, f"{self._path}: {label}")

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return the power of every chassis that reports one."""
        found: list[SensorInfo] = []
        problem = SensorUnavailable("the Redfish service has no chassis that reports a power")
        settings = _settings()
        for device, path in _chassis(settings).items():
            try:
                found += cls(device, path, settings).sensors
            except SensorError as error:
                problem = SensorUnavailable(error.reason, error.remedy)
        if not found:
            raise problem
        return tuple(found)

    @classmethod
    def default_devices(cls, infos: tuple[SensorInfo, ...]) -> tuple[str, ...]:
        """Return the first chassis that reports a power: others may stand inside it."""
        return tuple(info.device for info in infos[:1])

    @classmethod
    def open(cls, device: str) -> Self:
        """Open a chassis by its id; by its place in the list only where no id is a number."""
        settings = _settings()
        chassis = _chassis(settings)
        try:
            meant = choose(device, "chassis of the Redfish service", {name: [] for name in chassis})
            return cls(meant, chassis[meant], settings)
        except SensorUnavailable:
            raise
        except SensorError as error:
            raise SensorUnavailable(error.reason, error.remedy) from error

    def watts(self) -> float:
        """Get the resource that reported the power when the chassis was opened."""
        return _reading(fetch(self._path, self._settings), self._path, self._place)[1]


def _settings() -> dict[str, str]:
    found = {key: os.environ.get(f"JOULEMARK_REDFISH_{key}", "") for key in ("URL", "USER", "PASSWORD", "CA")}
    if not found["URL"]:
        raise SensorUnavailable("no Redfish service is named", _HOW)
    if urlsplit(found["URL"]).scheme != "https":
        raise SensorUnavailable("JOULEMARK_REDFISH_URL must be https: a password goes with it")
    return found


def _chassis(settings: Mapping[str, str]) -> dict[str, str]:
    try:
        return chassis_paths(settings)
    except SensorError as error:
        raise SensorUnavailable(error.reason, error.remedy) from error


def _power_paths(path: str, settings: Mapping[str, str]) -> Iterator[str]:
    """Yield where a chassis may report its power: the usual place, then where its own resource points."""
    usual = f"{path}/Power"
    yield usual
    resource = fetch(path, settings)
    for name in ("Power", "EnvironmentMetrics"):
        place = linked(resource.get(name))
        if place is not None and place != usual:
            yield place


def _reading(
    page: Mapping[str, Any], path: str, place: int | None = None
) -> tuple[int | None, float, str, float | None]:
    """Return which entry of the page reports the power, the watts, its name and what it can draw.

    Raises:
        SensorError: none does, or it says that it is switched off.
    """
    control = page.get("PowerControl")
    entries = control if isinstance(control, list) else []
    reported = [
        (i, e, w) for i, e in enumerate(entries) if (w := _number(e, "PowerConsumedWatts")) is not None
    ]
    if place is not None:
        reported = [one for one in reported if one[0] == place]
    if reported:
        # Beside the chassis' own entry services list parts of it, and entries without a value.
        i, entry, watts = next((one for one in reported if one[2] > 0), reported[0])
        _check_state(entry, path)
        name = entry.get("Name")
        label = f"PowerControl {i}" + (f" {name[:60]!r}" if isinstance(name, str) else "")
        return i, watts, label, _number(entry, "PowerCapacityWatts") or None
    excerpt = page.get("PowerWatts")
    watts_now = _number(excerpt, "Reading")
    if watts_now is None or place is not None:
        raise SensorError(f"{path} holds no PowerConsumedWatts and no PowerWatts.Reading")
    _check_state(excerpt, path)
    return None, watts_now, "EnvironmentMetrics PowerWatts", None


def _check_state(entry: Any, path: str) -> None:
    status = entry.get("Status")
    state = status.get("State") if isinstance(status, dict) else None
    if state in _OFF_STATES:
        raise ImplausibleReading(f"{path}: the service says that this power is {state}")


def _number(entry: Any, key: str) -> float | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
