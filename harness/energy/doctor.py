"""The state of every power source on this machine: whether it works, why not, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.energy.base import SensorError
from harness.energy.native import NoNativeSampler, load
from harness.energy.registry import broken, get, names


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """One line of `joulemark doctor`; `sensors` holds the facts of each sensor that answers."""

    name: str
    works: bool
    reason: str | None = None
    mend: str | None = None
    sensors: tuple[dict[str, Any], ...] = ()


def sensor_statuses() -> tuple[SensorStatus, ...]:
    """Try every source but `none`, and list the plugins that disabled themselves."""
    tried = [_try(name) for name in names() if name != "none"]
    plugins = [SensorStatus(name, works=False, reason=why) for name, why in broken().items()]
    return (*tried, *plugins)


def sampler_status() -> SensorStatus:
    """Say whether the native sampler can run; another process samples where it cannot."""
    try:
        load()
    except NoNativeSampler as error:
        return SensorStatus(
            "native sampler",
            works=False,
            reason=str(error),
            mend="install a C compiler; till then a process samples",
        )
    return SensorStatus("native sampler", works=True)


def _try(name: str) -> SensorStatus:
    try:
        infos = get(name).discover()
    except SensorError as error:
        return SensorStatus(name, works=False, reason=error.reason, mend=error.mend)
    return SensorStatus(name, works=True, sensors=tuple({"id": info.id, **asdict(info)} for info in infos))
