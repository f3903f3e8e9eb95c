"""What a name of a device means: an id of `joulemark list sensors`, the device, another name, a place.

An id is an id before it is a place: the chassis called 1 is not the second one. What could mean several
devices is refused with the list of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.energy.sensors.base import SensorUnavailable

_ID = re.compile(
    r"(?P<device>.+):(?:gpu|module|memory|package|node)"
    r":(?:counter|instant|average|buffered|temperature|clock|events|utilisation)(?::[^:/]+)?"
)


def device_of(source: str, name: str) -> str:
    """Return the device of a sensor's id, e.g. `intel-rapl:0` of `rapl:intel-rapl:0:package:counter`.

    Any other name is returned as it is.
    """
    found = _ID.fullmatch(name.removeprefix(f"{source}:")) if name.startswith(f"{source}:") else None
    return found["device"] if found else name


def choose(name: str, what: str, devices: Mapping[str, Sequence[str]]) -> str:
    """Return the one device that a name means.

    Args:
        name: A device, another name of it, or its place in the list, from 0.
        what: The kind of device, for the reason.
        devices: In the order in which they are listed; for each its other names.

    Raises:
        SensorUnavailable: none is meant, or several are; the reason lists what there is.
    """
    if name in devices:
        return name
    folded = name.casefold()
    meant = [d for d, others in devices.items() if folded in {d.casefold(), *(o.casefold() for o in others)}]
    # A place means nothing to people where devices are called by numbers.
    if not meant and name.isdecimal() and not any(d.isdecimal() for d in devices):
        meant = list(devices)[int(name) : int(name) + 1]
    if len(meant) == 1:
        return meant[0]
    listed = "; ".join(
        " = ".join([d, *dict.fromkeys(o for o in others if o != d)]) for d, others in devices.items()
    )
    if meant:
        raise SensorUnavailable(
            f"{name} could mean more than one {what}: {', '.join(meant)}", f"name one of {listed}"
        )
    raise SensorUnavailable(f"no {what} {name}; there are: {listed or 'none'}")
