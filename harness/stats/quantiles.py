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
_COUNTED_PAIRS = 16
"""Pairs of autocorrelations that are counted one by one; many more take longer than a Fourier transform."""
_LAGS = 4096
"""Autocorrelations that are transformed first: of a long series all of them take several times longer."""


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
    if np.ptp(array) == 0 or (found := _effective(array)) is None:
        raise StatsError("all values are equal: nothing shows how they depend on each other")
    return found


def _effective(series: Floats) -> float | None:
    """Return the effective samples of a series; None where it has no variance."""
    n = len(series)
    centred = series - series.mean()
    variance = float(np.square(centred).sum())  # a dot product of long series would start BLAS's threads
    if variance == 0:
        return None
    pairs = np.empty(0)
    for lags in dict.fromkeys((min(n, _LAGS), n)):
        size = _transformed(n + lags)
        padded = np.fft.rfft(centred, size)
        covariance = np.fft.irfft(padded * padded.conj(), size)[: lags - lags % 2]
        pairs = (covariance / variance).reshape(-1, 2).sum(axis=1)
        ends = np.flatnonzero(pairs <= 0)
        if len(ends):
            pairs = pairs[: ends[0]]
            break
    return _of_pairs(n, pairs)


def _transformed(least: int) -> int:
    """Return a length of at least so many numbers that is transformed fast."""
    return min(part << (-(-least // part) - 1).bit_length() for part in (1, 3, 5, 9, 15))


def _effective_events(events: npt.NDArray[np.bool_]) -> float | None:
    """Return the effective samples of a series of yes and no, as `_effective` has them.

    Events that are a lag apart are counted. Where the sum ends after a few lags, a Fourier transform would
    take many times longer.
    """
    n, total = len(events), int(np.count_nonzero(events))
    if total in (0, n):
        return None
    mean = total / n
    variance = total * (1 - mean)

    def correlation(lag: int) -> float:
        first, last = events[: n - lag], events[lag:]
        both = int(np.count_nonzero(first & last))
        # Events among the first n - lag samples, and among the last: all but those at one end.
        one = 2 * total - int(np.count_nonzero(events[n - lag :])) - int(np.count_nonzero(events[:lag]))
        return (both - mean * one + (n - lag) * mean**2) / variance

    pairs: list[float] = []
    for lag in range(0, n - n % 2, 2):
        if len(pairs) == _COUNTED_PAIRS:
            return _effective(events.astype(np.float64))
        pair = correlation(lag) + correlation(lag + 1)
        if pair <= 0:
            break
        pairs.append(pair)
    return _of_pairs(n, pairs)


def _of_pairs(n: int, pairs: npt.ArrayLike) -> float:
    """Return n / τ from the sums of neighbouring autocorrelations, up to the first that is not positive."""
    return n / max(2 * float(np.minimum.accumulate(pairs).sum()) - 1, 1.0)


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
    """Return several quantiles of one series, each as `quantile` does, sorted once.

    Raises:
        StatsError: as `quantile`.
    """
    for q in qs:
        in_unit("q", q)
    array: Floats = finite(durations)
    ordered = np.sort(array)
    values = [_between_order_statistics(ordered, q) for q in qs]
    found = []
    for q, value in zip(qs, values, strict=True):
        effective = _effective_events(array > value)
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
