"""The gate that every reading of power and energy passes before it is a number.

A device that runs draws power, and no more than it can: 0 W, a source's error value (all bits set), a
negative power or one above the device's ceiling is no reading. What fails is a gap, never a number
(docs/energy.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

CEILINGS_W: Mapping[str, float] = MappingProxyType(
    {"memory": 2e3, "gpu": 5e3, "package": 5e3, "module": 20e3, "node": 100e3}
)
"""No device of a scope draws more, where its rated power is not known."""
RATED_MARGIN = 3.0
"""A device may overshoot its rated power for a moment; this many times it, none does."""
COUNTER_CEILING_J = 5e12
"""No counter counts so far: 100 kW for a year and a half. A counter with all 63 bits set says more."""
_ONES_BITS = (15, 16, 31, 32)
_SHORT_BITS, _SHORT_UNIT_W = 16, 0.1
"""Few bits are an error pattern only of a coarse unit: 65,535 mW is a power like any other."""
_UNITS_W = (1.0, 0.1, 1e-3, 1e-6)


def ceiling_w(scope: str, rated_w: float | None = None) -> float:
    """Return the power in watts above which a reading of this scope is none."""
    general = CEILINGS_W.get(scope, CEILINGS_W["node"])
    return general if rated_w is None or rated_w <= 0 else min(general, RATED_MARGIN * rated_w)


def power_fault(
    watts: float, scope: str, rated_w: float | None = None, quantum_w: float | None = None
) -> str | None:
    """Return why a value is no power of a running device, or None where it is one.

    Args:
        watts: As the source reported it.
        scope: What the source meters; the memory of an idle package may round to 0 W, nothing else does.
        rated_w: What the device can draw by its own or its driver's word.
        quantum_w: The source's own unit.
    """
    if not math.isfinite(watts):
        return "not a number"
    if watts < 0:
        return f"{watts:g} W: a power below 0"
    if watts == 0 and scope != "memory":
        return "0 W: what runs draws power, so this is no reading"
    if _all_ones(watts, quantum_w):
        return f"{watts:g} W: the meter answers with its error value"
    if watts > (most_w := ceiling_w(scope, rated_w)):
        rated = f" (rated {rated_w:g} W)" if rated_w else ""
        return f"{watts:g} W: above the {most_w:g} W that no {scope}{rated} exceeds"
    return None


def energy_fault(joules: float, wrap_j: float | None = None) -> str | None:
    """Return why a value is no count of energy, or None where it is one."""
    if not math.isfinite(joules):
        return "not a number"
    if joules < 0:
        return f"{joules:g} J: an energy count below 0"
    if wrap_j is not None and joules > wrap_j * (1 + 1e-9):
        return f"{joules:g} J: beyond the {wrap_j:g} J at which the counter begins anew"
    if joules > COUNTER_CEILING_J:
        return f"{joules:g} J: the counter answers with its error value"
    return None


def _all_ones(watts: float, quantum_w: float | None) -> bool:
    """Return whether the raw value has all its bits set, in the source's unit or a usual one."""
    for unit_w in {*_UNITS_W, quantum_w or 1.0}:
        raw = watts / unit_w
        for bits in _ONES_BITS:
            if (bits > _SHORT_BITS or unit_w >= _SHORT_UNIT_W) and abs(raw - (2**bits - 1)) < 1e-3:
                return True
    return False
