"""Keep what was probed, one small file per sensor, device and driver, in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from harness.energy.probing.probe import LoadOf, Probe, Switch, probe_counter
from harness.energy.sampling.ticks import Host
from harness.energy.sensors.base import PowerMeter, SensorError, SensorInfo
from harness.system.files import write_atomically
from harness.system.native import cache_folder

VERSION = 2
"""Of the probe itself; what an older one learnt is learnt again."""
_LIMIT_BYTES = 4096
_OPTIONAL_NUMBERS = ("update_period_s", "quantum_j", "lag_s", "lag_u_s", "averaging_window_s")
_FLAGS = ("poll_disturbs", "aliases", "loaded")


def cached(meter: PowerMeter, info: SensorInfo) -> Probe | None:
    """Return what was probed before of this sensor on this device and driver; None is nothing usable."""
    try:
        with _path(meter, info).open("rb") as file:
            return _parse(json.loads(file.read(_LIMIT_BYTES)))
    except (OSError, ValueError):
        return None


def probed(
    meter: PowerMeter,
    info: SensorInfo,
    *,
    load: Switch | None = None,
    host: Host | None = None,
    anew: bool = False,
) -> Probe:
    """Return the sensor's probe from the cache, or make it and keep it.

    A probe without a load is made anew once there is one.

    Raises:
        SensorError: the sensor does not answer.
    """
    known = None if anew else cached(meter, info)
    if known is not None and (load is None or known.loaded):
        return known
    made = probe_counter(partial(meter.read, info), info, load=load, host=host)
    # A cache that cannot be written costs the next one its time, and nothing else.
    with contextlib.suppress(OSError):
        write_atomically(_path(meter, info), json.dumps(asdict(made), allow_nan=False), mode=0o700)
    return made


def fitted(
    meter: PowerMeter,
    info: SensorInfo,
    host: Host | None = None,
    *,
    load_of: LoadOf | None = None,
    anew: bool = False,
) -> SensorInfo:
    """Return a counter's facts with what was probed of it; without an answer they stay as they are."""
    known = None if anew else cached(meter, info)
    if known is not None and (load_of is None or known.loaded):
        return known.applied(info)
    try:
        with load_of(meter) if load_of is not None else nullcontext() as load:
            return probed(meter, info, load=load, host=host, anew=anew).applied(info)
    except SensorError:
        return info


def _path(meter: PowerMeter, info: SensorInfo) -> Path:
    key = json.dumps([VERSION, info.id, meter.fingerprint()])
    return cache_folder() / "sensors" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def _parse(found: Any) -> Probe:
    """Return a probe from what a file holds.

    Raises:
        ValueError: it is not one.
    """
    if not isinstance(found, dict) or set(found) != {*Probe.__slots__}:
        raise ValueError("not a probe")
    numbers = [found[key] for key in _OPTIONAL_NUMBERS if found[key] is not None] + [found["read_cost_s"]]
    if not all(type(n) in {int, float} and math.isfinite(n) and 0 <= n < 1e6 for n in numbers):
        raise ValueError("not a probe")
    if not all(found[key] is None or isinstance(found[key], bool) for key in _FLAGS):
        raise ValueError("not a probe")
    return Probe(**found)
