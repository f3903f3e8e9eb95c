"""A against B from processes that were not run side by side (docs/method.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy.typing as npt

from harness.stats.compare import Comparison, label_of
from harness.stats.errors import Direction, in_unit, known, ratio_less_one
from harness.stats.interval import NO_SPREAD, WITHIN_RUN, logs_of

LEAST_EQUAL = 3
"""Processes of each side that must agree before equal values are taken for the truth."""


def compare_unpaired(
    base: npt.ArrayLike,
    head: npt.ArrayLike,
    delta: float = 0.01,
    *,
    direction: Direction = "lower",
    alpha: float = 0.05,
    mde: bool = True,
) -> Comparison:
    """Compare the geometric means of two independent sets of process means by Welch's t on their logs.

    The two sets may differ in size and in spread. The label follows the rule of `compare`, and so does what
    has no spread at all, once each side has three processes. Records cannot be looked at again with more
    processes, so there is one look.

    Args:
        base: One positive mean for each process of the baseline.
        head: Those of the candidate.
        delta: The effect below which a difference does not matter.
        direction: Which values are better.
        alpha: Error of the interval.
        mde: Whether to find the effect that could be found too: that takes half of the time.

    Returns:
        The comparison; its `pairs` is 0. From a single process on either side it has no interval.

    Raises:
        StatsError: no value, or one that is NaN, infinite, zero or negative; `alpha` or `delta` not between
            0 and 1; no such direction; means that scatter beyond all numbers.
    """
    from scipy.special import nctdtrinc, stdtr, stdtrit

    in_unit("delta", delta)
    in_unit("alpha", alpha)
    known(direction)
    before, after = logs_of(base), logs_of(head)
    means = [math.fsum(side) / len(side) for side in (before, after)]
    centre = means[1] - means[0]
    effect = ratio_less_one(centre)
    least = min(len(before), len(after))
    if least == 1:
        return Comparison("inconclusive", effect, None, None, None, 0, None, (WITHIN_RUN,))
    shares = [_squared_error(side, mean) for side, mean in zip((before, after), means, strict=True)]
    error = math.sqrt(sum(shares))
    if error <= 1e-12:  # equal values differ by the rounding of their logarithms
        label = label_of(centre, 0.0, delta, direction) if least >= LEAST_EQUAL else "inconclusive"
        return Comparison(label, effect, effect, effect, None, 0, None, (NO_SPREAD,))
    sides = zip(shares, (before, after), strict=True)
    degrees = error**4 / sum(share**2 / (len(side) - 1) for share, side in sides)
    critical = float(stdtrit(degrees, 1 - alpha / 2))
    half = critical * error
    return Comparison(
        label=label_of(centre, half, delta, direction),
        effect=effect,
        low=ratio_less_one(centre - half),
        high=ratio_less_one(centre + half),
        mde=ratio_less_one(float(nctdtrinc(degrees, 0.2, critical)) * error) if mde else None,
        pairs=0,
        p_value=2 * float(stdtr(degrees, -abs(centre) / error)),
    )


def _squared_error(logs: Sequence[float], mean: float) -> float:
    """Return the squared standard error of a mean of two or more."""
    return math.fsum((log - mean) ** 2 for log in logs) / (len(logs) - 1) / len(logs)
