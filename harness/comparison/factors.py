"""Factors that multiply to a ratio, and their intervals over the replicas."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.comparison.side_evidence import Side

UNEXPLAINED = "unexplained"
RESAMPLES = 400
LEAST_REPLICAS = 3
"""Of each side, for intervals."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One cause: by how much it alone makes A better than B; below 1 it makes A worse."""

    name: str
    value: float
    low: float | None
    high: float | None
    evidence: str


Factors = dict[str, tuple[float, str]]
"""By cause, the factor and its evidence."""


def intervals(
    factors: Callable[[Side, Side], Factors], a: Side, b: Side
) -> Callable[[str], tuple[float | None, float | None]]:
    """Bootstrap the replicas of both sides: 95 % intervals. What one profile alone gives has none."""
    import numpy as np

    if min(len(a.records), len(b.records)) < LEAST_REPLICAS:
        return lambda _: (None, None)
    rng = np.random.default_rng(0)

    def again(side: Side) -> Side:
        n = len(side.records)
        return replace(side, records=tuple(side.records[i] for i in rng.integers(n, size=n)))

    draws = [factors(again(a), again(b)) for _ in range(RESAMPLES)]

    def interval(name: str) -> tuple[float | None, float | None]:
        low, high = np.percentile([d.get(name, (1.0, ""))[0] for d in draws], [2.5, 97.5])
        return (float(low), float(high)) if high > low * (1 + 1e-9) else (None, None)

    return interval


def log_mean(x: float, y: float) -> float:
    """Return the logarithmic mean of two positive numbers, 0 where one is none."""
    if abs(x - y) <= 1e-15 * max(x, y):
        return x
    return (x - y) / (math.log(x) - math.log(y)) if min(x, y) > 0 else 0.0
