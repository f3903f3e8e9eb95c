"""A against B on pairs of processes, with looks planned beforehand (docs/method.md, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.stats.errors import Direction, StatsError, finite, in_unit, known, positive, ratio_less_one
from harness.stats.interval import NO_SPREAD, TIES, WITHIN_RUN

LOOKS = (6, 10, 16, 24)
"""Pairs after which the verdict is looked at."""
ALPHA = 0.0182
"""Nominal error of each of four looks: together they err in 5 % (Pocock)."""

Label = Literal["better", "worse", "equivalent", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How `head` compares with `base`. Effects are ratios less one: 0.02 is 2 % more than `base`."""

    label: Label
    effect: float
    low: float | None
    """Bounds of the two-sided interval of the effect, at the level of one look; None from one pair."""
    high: float | None
    mde: float | None
    """The least effect that this many pairs, this scattered, find in four cases of five."""
    pairs: int
    p_value: float | None
    """Of the paired t test of no effect, at this look alone."""
    flags: tuple[str, ...] = ()
    """`within-run only`: one pair. `no spread`: every pair shows the same ratio. `ties`: some pairs do."""


def compare(
    base: npt.ArrayLike,
    head: npt.ArrayLike,
    delta: float = 0.01,
    *,
    direction: Direction = "lower",
    alpha: float = ALPHA,
) -> Comparison:
    """Compare paired process means by d = ln(head / base), with a t-interval on the mean of d.

    The label is `equivalent` when the interval lies within ±delta, else `better` or `worse` when it excludes
    no effect, else `inconclusive`. Where every pair shows the same ratio (bytes of memory do) there is no
    spread to judge by: the ratio itself is labelled from the first look on, `inconclusive` before.

    Args:
        base: One positive mean for each process of the baseline.
        head: Those of the candidate, each run beside its partner in `base`.
        delta: The effect below which a difference does not matter.
        direction: Which values are better.
        alpha: Error of the interval; the default is for one of four looks, 0.05 is for a single look.

    Raises:
        StatsError: series of different lengths, no pair, or a value that is NaN, infinite, zero or negative;
            `alpha` or `delta` not between 0 and 1; no such direction; ratios that scatter beyond all numbers.
    """
    in_unit("delta", delta)
    in_unit("alpha", alpha)
    known(direction)
    before, after = positive(base), positive(head)
    n = len(before)
    if n != len(after):
        raise StatsError(f"{n} means of the base and {len(after)} of the head make no pairs")
    logs = np.log(after / before)
    centre = float(logs.mean())
    if n == 1:
        return Comparison("inconclusive", ratio_less_one(centre), None, None, None, 1, None, (WITHIN_RUN,))
    # Equal ratios of unequal means differ by rounding.
    if np.ptp(logs) <= 1e-12:
        label = label_of(centre, 0.0, delta, direction) if n >= LOOKS[0] else "inconclusive"
        effect = ratio_less_one(centre)
        return Comparison(label, effect, effect, effect, None, n, None, (NO_SPREAD,))
    error = float(logs.std(ddof=1)) / math.sqrt(n)
    half = _t(1 - alpha / 2, n - 1) * error
    return Comparison(
        label=label_of(centre, half, delta, direction),
        effect=ratio_less_one(centre),
        low=ratio_less_one(centre - half),
        high=ratio_less_one(centre + half),
        mde=minimum_detectable_effect(logs, alpha=alpha),
        pairs=n,
        p_value=2 * _t_tail(abs(centre) / error, n - 1),
        flags=(TIES,) if len(np.unique(logs)) < n else (),
    )


def next_look(pairs: int, looks: tuple[int, ...] = LOOKS) -> int | None:
    """Return at how many pairs to look next, after `pairs` have been measured; None after the last look."""
    return next((look for look in looks if look > pairs), None)


def finished(comparison: Comparison, looks: tuple[int, ...] = LOOKS) -> bool:
    """Return whether to stop: at a look with a verdict, or at the last one whatever it says."""
    if comparison.pairs >= looks[-1]:
        return True
    return comparison.pairs in looks and comparison.label != "inconclusive"


def minimum_detectable_effect(
    log_ratios: npt.ArrayLike, *, alpha: float = ALPHA, power: float = 0.8, pairs: int | None = None
) -> float:
    """Return the ratio less one that `pairs` pairs as scattered as these find with probability `power`.

    It is the effect whose noncentral t leaves 1 - power below the critical value.

    Args:
        log_ratios: d = ln(head / base) of each pair measured.
        alpha: Error of the two-sided test.
        power: Probability of finding the effect.
        pairs: Pairs that the test will have; as many as were measured unless given.

    Raises:
        StatsError: fewer than two ratios or two pairs, NaN, or `alpha` or `power` not between 0 and 1.
    """
    from scipy.special import nctdtrinc

    in_unit("alpha", alpha)
    in_unit("power", power)
    logs = finite(log_ratios)
    n = len(logs) if pairs is None else pairs
    if len(logs) < 2 or n < 2:
        raise StatsError("one pair shows no spread: an effect that can be found needs at least two")
    shift = float(nctdtrinc(n - 1, 1 - power, _t(1 - alpha / 2, n - 1)))
    return ratio_less_one(shift * float(logs.std(ddof=1)) / math.sqrt(n))


def label_of(centre: float, half: float, delta: float, direction: Direction) -> Label:
    """Return the verdict on ln(head / base) = centre ± half."""
    low, high = ratio_less_one(centre - half), ratio_less_one(centre + half)
    if -delta < low and high < delta:
        return "equivalent"
    if low <= 0 <= high:
        return "inconclusive"
    return "better" if (high < 0) == (direction == "lower") else "worse"


def _t(p: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, p))


def _t_tail(t: float, degrees: int) -> float:
    from scipy.special import stdtr

    return float(stdtr(degrees, -t))
