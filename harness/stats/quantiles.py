"""Quantiles, with the effective samples that they rest on (docs/method.md, section 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.stats.errors import Floats, StatsError, finite, in_unit, positive
from harness.stats.interval import NO_SPREAD, WITHIN_RUN, Interval, interval

TOO_FEW_SAMPLES = "too few samples"
_TOGETHER = 1 << 14
"""Longest series whose quantiles are counted side by side: of longer ones that saves no time."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of one series, and whether the series is long enough to hold an interval for it."""

    q: float
    value: float
    effective_samples: float
    """Independent samples that say as much about this quantile as the series does."""
    enough: bool
    """Effective samples suffice for a two-sided 95 % interval."""


def least_effective_samples(q: float, level: float = 0.95) -> int:
    """Return the independent samples below which no two-sided interval for quantile `q` exists.

    The largest of n samples bounds the quantile from above but for a chance of q^n, which must not exceed
    half of what the level leaves: 36, 368 and 3688 samples for p90, p99 and p99.9 at 95 %; low quantiles
    likewise.

    Raises:
        StatsError: `q` or `level` not between 0 and 1.
    """
    in_unit("q", q)
    in_unit("level", level)
    return math.ceil(math.log((1 - level) / 2) / math.log(max(q, 1 - q)))


def effective_sample_size(series: npt.ArrayLike) -> float:
    """Return n / τ, τ = 1 + 2·Σ autocorrelations, for a series in order of time; at most n.

    The sum ends where a pair of neighbouring autocorrelations is no longer positive, and pairs may not grow
    (Geyer's initial monotone sequence).

    Raises:
        StatsError: no value, NaN or infinity, or all values equal, which shows no correlation.
    """
    array = finite(series)
    if np.ptp(array) == 0 or (found := _effective(array[None])[0]) is None:
        raise StatsError("all values are equal: nothing shows how they depend on each other")
    return found


def _effective(rows: Floats) -> list[float | None]:
    """Return the effective samples of each row, shape (series, n); None where it has no variance."""
    n = rows.shape[1]
    centred = rows - rows.mean(axis=1, keepdims=True)
    variances = np.square(centred).sum(axis=1)  # a dot product of long series would start BLAS's threads
    size = 1 << (2 * n - 1).bit_length()  # at least 2 n; other lengths may take several times longer
    padded = np.fft.rfft(centred, size)
    covariances = np.fft.irfft(padded * padded.conj(), size)[:, :n]
    found: list[float | None] = []
    for covariance, variance in zip(covariances, variances.tolist(), strict=True):
        if variance == 0:
            found.append(None)
            continue
        pairs = (covariance[: n - n % 2] / variance).reshape(-1, 2).sum(axis=1)
        ends = np.flatnonzero(pairs <= 0)
        pairs = pairs[: ends[0]] if len(ends) else pairs
        found.append(n / max(2 * float(np.minimum.accumulate(pairs).sum()) - 1, 1.0))
    return found


def quantile(durations: npt.ArrayLike, q: float) -> Quantile:
    """Return quantile `q` (linear between order statistics) of one process's durations, in order of time.

    Effective samples are counted on the series of exceedances x > quantile, as a slow spell of many
    iterations shows the tail only once. No sample is dropped. A constant series has no exceedance and
    counts every sample.

    Raises:
        StatsError: no value, or one that is NaN or infinite; `q` not between 0 and 1.
    """
    return quantiles(durations, (q,))[0]


def quantiles(durations: npt.ArrayLike, qs: Sequence[float]) -> list[Quantile]:
    """Return several quantiles of one series, each as `quantile` does: sorted once, all counted together.

    Raises:
        StatsError: as `quantile`.
    """
    for q in qs:
        in_unit("q", q)
    array: Floats = finite(durations)
    ordered = np.sort(array)
    values = [_between_order_statistics(ordered, q) for q in qs]
    beyond = array > np.array(values)[:, None]
    together = len(qs) if len(array) <= _TOGETHER else 1
    counted = [
        one
        for begin in range(0, len(qs), together)
        for one in _effective(beyond[begin : begin + together].astype(np.float64))
    ]
    found = []
    for q, value, effective in zip(qs, values, counted, strict=True):
        samples = float(len(array)) if effective is None else effective
        found.append(Quantile(q, value, samples, samples >= least_effective_samples(q)))
    return found


def _between_order_statistics(ordered: Floats, q: float) -> float:
    """Return what `np.quantile` does of sorted values, to the last bit, in a tenth of its time."""
    place = (len(ordered) - 1) * q
    below = math.floor(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    share = place - below
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


def quantile_interval(series: npt.ArrayLike, q: float, level: float = 0.95) -> Interval:
    """Return quantile `q` of one process with an interval between order statistics.

    Of n independent samples, X(l) and X(u) enclose the quantile but for a chance of P(B < l) + P(B >= u), B
    binomial of n and q. Here n is the effective samples, and the ranks are spread over all samples. Too few
    effective samples give no bounds and are flagged, and so are samples that are all equal.

    Args:
        series: Durations in order of time.
        q: Which quantile.
        level: Confidence of the two-sided interval, of this run alone.

    Raises:
        StatsError: as `quantile`, or `level` not between 0 and 1.
    """
    from scipy.stats import binom

    found = quantile(series, q)
    ordered = np.sort(finite(series))
    independent = math.floor(found.effective_samples)
    if independent < least_effective_samples(q, level):
        return Interval(found.value, None, None, level, len(ordered), (WITHIN_RUN, TOO_FEW_SAMPLES))
    low, high = (int(rank) for rank in binom.ppf([(1 - level) / 2, (1 + level) / 2], independent, q))
    spread = len(ordered) / independent
    return Interval(
        estimate=found.value,
        low=float(ordered[max(0, math.floor((low - 1) * spread))]),
        high=float(ordered[min(len(ordered), math.ceil((high + 1) * spread)) - 1]),
        level=level,
        n=len(ordered),
        flags=(WITHIN_RUN, NO_SPREAD) if np.ptp(ordered) == 0 else (WITHIN_RUN,),
    )


def process_quantile_interval(
    series_by_process: Sequence[npt.ArrayLike], q: float, level: float = 0.95
) -> Interval:
    """Return the geometric mean of the processes' quantiles with a t-interval on their logs.

    Where any process has too few effective samples for its quantile there are no bounds, and it is flagged.

    Raises:
        StatsError: no process, or one with a duration that is NaN, infinite, zero or negative.
    """
    found = [quantile(positive(series), q) for series in series_by_process]
    whole = interval([one.value for one in found], level)
    least = least_effective_samples(q, level)
    if all(one.effective_samples >= least for one in found):
        return whole
    return replace(whole, low=None, high=None, flags=(*whole.flags, TOO_FEW_SAMPLES))
