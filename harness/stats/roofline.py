"""Where a piece of work stands under a device's ceilings: counted work, measured time, measured limits.

docs/method.md, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Placement:
    """One piece of work under the roofline."""

    intensity: float
    """FLOPs for each byte of the least memory traffic."""
    attained_flop_s: float
    roof_flop_s: float
    """What the ceilings allow at this intensity: min(arithmetic, intensity x bandwidth)."""
    share: float
    """Attained of the roof. Above 1 the ceiling is no ceiling: caches held what memory was counted for."""
    under: Literal["compute", "memory"]
    """Which of the two ceilings is the lower one at this intensity."""
    compute_share: float
    """Of the time, what the FLOPs alone would take at the arithmetic ceiling."""
    memory_share: float
    """Of the time, what the least bytes alone would take at the bandwidth ceiling."""


def place(
    *, flops: float, least_bytes: float, seconds: float, flop_s: float, bandwidth_b_s: float
) -> Placement:
    """Place work of `flops` and `least_bytes` that took `seconds` under two ceilings.

    Raises:
        ValueError: a number that must be positive is not.
    """
    for name, value in (
        ("flops", flops),
        ("least_bytes", least_bytes),
        ("seconds", seconds),
        ("flop_s", flop_s),
        ("bandwidth_b_s", bandwidth_b_s),
    ):
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
    intensity = flops / least_bytes
    roof = min(flop_s, intensity * bandwidth_b_s)
    return Placement(
        intensity=intensity,
        attained_flop_s=flops / seconds,
        roof_flop_s=roof,
        share=flops / seconds / roof,
        under="compute" if flop_s <= intensity * bandwidth_b_s else "memory",
        compute_share=flops / flop_s / seconds,
        memory_share=least_bytes / bandwidth_b_s / seconds,
    )
