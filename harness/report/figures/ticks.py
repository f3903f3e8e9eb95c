"""Round positions on an axis."""

from __future__ import annotations

import math

MOST_TICKS = 7


def linear_ticks(start: float, stop: float, *, binary: bool = False) -> list[float]:
    """Round positions, at most `MOST_TICKS - 1` of them; powers of two apart for bytes."""
    rough = (stop - start) / (MOST_TICKS - 2)
    if binary:
        step = 2.0 ** math.ceil(math.log2(rough))
    else:
        base = 10.0 ** math.floor(math.log10(rough))
        step = next(m * base for m in (1, 2, 5, 10) if m * base >= rough * (1 - 1e-9))
    first = math.ceil(start / step - 1e-9)
    return [i * step for i in range(first, math.floor(stop / step + 1e-9) + 1)]


def log_ticks(start: float, stop: float, *, binary: bool = False) -> list[float]:
    """Positions 1-2-5, decades, or every so many decades: the finest that gives at most `MOST_TICKS`."""
    if binary:
        exponents = range(math.ceil(math.log2(start)), math.floor(math.log2(stop)) + 1)
        stride = math.ceil(len(exponents) / MOST_TICKS)
        return [2.0**e for e in exponents if e % stride == 0]
    decades = range(math.floor(math.log10(start)), math.ceil(math.log10(stop)) + 1)
    fine = [t for e in decades for m in (1, 2, 5) if start <= (t := m * 10.0**e) <= stop]
    if len(fine) <= MOST_TICKS:
        return fine
    stride = math.ceil(len(decades) / MOST_TICKS)
    return [t for e in decades if e % stride == 0 and start <= (t := 10.0**e) <= stop]
