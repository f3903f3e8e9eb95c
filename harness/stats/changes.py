"""Where a series of nights changed its level, looked at from afterwards (docs/method.md, section 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.stats.errors import Floats, StatsError, in_unit, positive

SHORTEST = 4
"""Values of a level at least: fewer may be a slow drift of the machine."""
SHUFFLES = 999


def change_points(values: npt.ArrayLike, alpha: float = 0.01, *, seed: int = 0) -> list[int]:
    """Return the index of the first value of every level but the first, in order.

    The series of logs is cut where the difference of the means before and after, over its standard error, is
    largest; the cut stands when fewer than `alpha` of random orders of the same values have one as large, and
    both parts are then cut alike (binary segmentation). It says where to look: the screen and its pairs say
    whether a night is a regression.

    Args:
        values: One positive value for each night, oldest first.
        alpha: Chance of a cut in a series, or a part of one, whose values are all of one level.
        seed: Of the random orders.

    Raises:
        StatsError: no value, or one that is NaN, infinite, zero or negative; `alpha` not between 0 and 1, or
            below what the random orders can resolve.
    """
    in_unit("alpha", alpha)
    if alpha < 1 / (SHUFFLES + 1):
        raise StatsError(f"{SHUFFLES} random orders resolve no chance below {1 / (SHUFFLES + 1):g}")
    logs, rng = np.log(positive(values)), np.random.default_rng(seed)
    found: list[int] = []
    parts = [(0, len(logs))]
    while parts:
        first, end = parts.pop()
        part = logs[first:end]
        if len(part) < 2 * SHORTEST or np.ptp(part) == 0:
            continue
        gaps = _gaps(part[None])[0]
        chance = rng.permuted(np.tile(part, (SHUFFLES, 1)), axis=1)
        as_large = int((_gaps(chance).max(axis=1) >= gaps.max()).sum())
        if (as_large + 1) / (SHUFFLES + 1) <= alpha:
            cut = first + SHORTEST + int(gaps.argmax())
            found.append(cut)
            parts += [(first, cut), (cut, end)]
    return sorted(found)


def _gaps(series: Floats) -> Floats:
    """Return for each row and cut |mean after - mean before| over its error, but for a common factor."""
    n = series.shape[1]
    before = np.arange(SHORTEST, n - SHORTEST + 1)
    sums = np.cumsum(series - series.mean(axis=1, keepdims=True), axis=1)[:, before - 1]
    gaps: Floats = np.abs(sums) / np.sqrt(before * (n - before) / n)
    return gaps
