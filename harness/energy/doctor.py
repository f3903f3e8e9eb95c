"""The state of every power source on this machine: whether it works, why not, and how to fix it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.energy.probing.cache import fitted
from harness.energy.probing.probe import LoadOf
from harness.energy.sampling.thread import NoNativeSampler, load
from harness.energy.sensors.base import SensorError
from harness.energy.sensors.registry import broken, get, names


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """One line of `joulemark doctor`; `sensors` holds the facts of each sensor that answers."""

    name: str
    works: bool
    reason: str | None = None
    remedy: str | None = None
    sensors: tuple[dict[str, Any], ...] = ()
    missing: tuple[str, ...] = ()
    """What is there and cannot be read, each with its reason: a total without it is incomplete."""


def sensor_statuses(load_of: LoadOf | None = None) -> tuple[SensorStatus, ...]:
    """Try every source but `none`, and list the plugins that disabled themselves.

    With loads the probe of each counter also gives its lag and whether it looks all the time.
    """
    tried = [_try(name, load_of) for name in names() if name != "none"]
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
            remedy="install a C compiler; till then a process samples",
        )
    return SensorStatus("native sampler", works=True)


def _try(name: str, load_of: LoadOf | None) -> SensorStatus:
    """Try one source, and probe its counters: once per device and driver, then from the cache."""
    source = get(name)
    try:
        infos = source.discover()
        gone = source.unreadable()
        meters = {info.device: source.open(info.device) for info in infos if info.kind == "counter"}
    except SensorError as error:
        return SensorStatus(name, works=False, reason=error.reason, remedy=error.remedy)
    known = [fitted(meters[i.device], i, load_of=load_of) if i.kind == "counter" else i for i in infos]
    for meter in meters.values():
        meter.close()
    return SensorStatus(
        name,
        works=True,
        remedy=next((one.remedy for one in gone if one.remedy), None),
        sensors=tuple({"id": info.id, **asdict(info)} for info in known),
        missing=tuple(f"{one.device} ({one.label}): {one.reason}" for one in gone),
    )


def describe(sensor: dict[str, Any]) -> str:
    """Return what is known of a counter in one line; what no probe could find is unknown."""
    facts = [f"{sensor['label']} {sensor['scope']}"]
    for key, name, unit, scale in (
        ("update_period_s", "period", "ms", 1e3),
        ("quantum", "quantum", "mJ", 1e3),
        ("read_cost_s", "read", "us", 1e6),
        ("lag_s", "lag", "ms", 1e3),
    ):
        value = sensor[key]
        facts.append(f"{name} unknown" if value is None else f"{name} {value * scale:.3g} {unit}")
    words = {True: "polling disturbs it", False: "polling is harmless", None: "polling not probed"}
    facts.append(words[sensor["poll_disturbs"]])
    if sensor["aliases"]:
        facts.append(f"looks {sensor['averaging_window_s'] * 1e3:.3g} ms of each period only")
    return ", ".join(facts)
