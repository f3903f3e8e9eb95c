"""Intervals over replicas: t on the logs of process means, one stage or two (docs/method.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.stats.errors import LARGEST, StatsError, exp, finite, in_unit, positive

WITHIN_RUN = "within-run only"
NO_SPREAD = "no spread"
TIES = "ties"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its two-sided confidence interval; no bounds where the data cannot give any."""

    estimate: float
    low: float | None
    high: float | None
    level: float
    n: int
    flags: tuple[str, ...] = ()
    """`within-run only`: one process stands for all. `no spread`: the values behind the spread are all equal,
    so the width of zero says nothing. `ties`: some are equal: what measures them may be too coarse."""


def interval(process_means: npt.ArrayLike, level: float = 0.95, pilot: int | None = None) -> Interval:
    """Return the geometric mean of process means with a t-interval on their logs.

    With y = ln(mean), the interval is exp(y_mean ± t·s/√n). Its two-stage form (Stein), when `pilot` says how
    many of the means came before the number of replicas was planned, takes s and t from those alone:
    exp(y_mean ± t[pilot - 1]·s0/√N).

    Args:
        process_means: One positive value for each process, in the order they were measured.
        level: Confidence of the two-sided interval.
        pilot: Processes of the first stage; None for the one-stage interval.

    Raises:
        StatsError: no value, or one that is NaN, infinite, zero or negative; a pilot below 2 or above n;
            values that scatter beyond all numbers.
    """
    logs = logs_of(process_means)
    centre, half, flags = _t_interval(logs, level, pilot)
    if half is None:
        return Interval(exp(centre), None, None, level, len(logs), flags)
    return Interval(exp(centre), exp(centre - half), exp(centre + half), level, len(logs), flags)


def logs_of(values: npt.ArrayLike) -> list[float]:
    """Return the logarithms of positive values.

    Raises:
        StatsError: no value, or one that is NaN, infinite, zero or negative.
    """
    return [math.log(value) for value in plain_list(values, 0.0) or positive(values).tolist()]


def linear_interval(values: npt.ArrayLike, level: float = 0.95, pilot: int | None = None) -> Interval:
    """Return the arithmetic mean with a t-interval, for quantities that may be zero or negative.

    Raises:
        StatsError: as `interval`, but of zero and negative values.
    """
    plain = plain_list(values, -LARGEST) or finite(values).tolist()
    centre, half, flags = _t_interval(plain, level, pilot)
    if half is None:
        return Interval(centre, None, None, level, len(plain), flags)
    return Interval(centre, centre - half, centre + half, level, len(plain), flags)


def plan_replicas(pilot_means: npt.ArrayLike, d: float, level: float = 0.95, cap: int = 30) -> int:
    """Return how many replicas in all make the two-stage interval's half-width at most `d`.

    N = max(P0, ⌈(t[P0 - 1]·s0/d)²⌉), and no more than `cap` (nor fewer than the pilot has). Whether the
    target is met is read off the interval itself.

    Args:
        pilot_means: Means of the P0 processes of the first stage.
        d: Half-width wanted, in logs: ln 1.01 for 1 %.
        level: Confidence of the interval.
        cap: Replicas at most.

    Raises:
        StatsError: fewer than two means, a mean without a logarithm, or `d` not positive.
    """
    logs = np.log(positive(pilot_means))
    if len(logs) < 2:
        raise StatsError("one process shows no spread: a pilot needs at least two")
    if not d > 0:
        raise StatsError(f"the half-width wanted is {d}, not positive")
    wanted = (_t(level, len(logs) - 1) * float(logs.std(ddof=1)) / d) ** 2
    return max(len(logs), min(cap, math.ceil(min(wanted, cap))))


def within_run_interval(durations: npt.ArrayLike, level: float = 0.95, batches: int = 10) -> Interval:
    """Return the mean duration of one process with an interval from its batch means, flagged as such.

    Consecutive durations are cut into `batches` of equal length (the remainder, at the end, is left out), and
    the batches' means stand for replicas. It says nothing of the spread between processes.

    Raises:
        StatsError: fewer durations than batches, or a batch whose mean is not positive.
    """
    array = finite(durations)
    length = len(array) // batches
    if length == 0:
        raise StatsError(f"{len(array)} durations do not fill {batches} batches")
    means = array[: length * batches].reshape(batches, length).mean(axis=1)
    whole = interval(means, level)
    return Interval(whole.estimate, whole.low, whole.high, level, len(array), (WITHIN_RUN, *whole.flags))


def plain_list(values: npt.ArrayLike, above: float) -> list[float] | None:
    """Return a list of plain numbers above a bound as it is, else None: an array costs more than a few do."""
    if not isinstance(values, list | tuple) or not values:
        return None
    for value in values:
        if type(value) is not float or not above < value <= LARGEST:
            return None
    return list(values)


def _t_interval(
    values: Sequence[float], level: float, pilot: int | None
) -> tuple[float, float | None, tuple[str, ...]]:
    """Return centre, half-width (None from one value) and flags."""
    in_unit("level", level)
    n = len(values)
    first = n if pilot is None else pilot
    if pilot is not None and not 2 <= pilot <= n:
        raise StatsError(f"a pilot of {pilot} among {n} values: needs at least 2 and at most all")
    centre = math.fsum(values) / n
    if n == 1:
        return centre, None, (WITHIN_RUN,)
    early = values[:first]
    middle = centre if first == n else math.fsum(early) / first
    spread = math.sqrt(math.fsum([(value - middle) ** 2 for value in early]) / (first - 1))
    if min(early) == max(early) or spread == 0:  # equal values may differ from their mean by rounding
        return centre, 0.0, (NO_SPREAD,)
    half = _t(level, first - 1) * spread / math.sqrt(n)
    return centre, half, (TIES,) if len(set(values)) < n else ()


_T_95 = (
    12.706204736174694,
    4.302652729749462,
    3.1824463052837078,
    2.7764451051977934,
    2.5705818356363146,
    2.4469118511449786,
    2.364624251592784,
    2.306004135204166,
    2.262157162798205,
    2.228138851986274,
    2.200985160091639,
    2.1788128296672284,
    2.1603686564627913,
    2.144786687917804,
    2.131449545559776,
    2.1199052992212546,
    2.1098155778333156,
    2.1009220402410382,
    2.0930240544083087,
    2.085963447265864,
    2.0796138447276795,
    2.0738730679040254,
    2.0686576104190486,
    2.0638985616280245,
    2.0595385527532972,
    2.0555294386428735,
    2.0518305164802846,
    2.0484071417952454,
    2.045229642132703,
    2.0422724563012378,
)
"""The quantiles of t at 95 % with 1 to 30 degrees of freedom: loading scipy for one of them takes longer than
bringing an index of many records up to date."""


@lru_cache(maxsize=4096)
def _t(level: float, degrees: int) -> float:
    if level == 0.95 and 1 <= degrees <= len(_T_95):
        return _T_95[degrees - 1]
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))
