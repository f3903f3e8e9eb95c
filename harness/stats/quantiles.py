"""Quantiles of one process, with the effective samples that they rest on (docs/method.md, section 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.stats.errors import Floats, StatsError, finite, in_unit


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of one series, and whether the series is long enough to hold an interval for it."""

    q: float
    value: float
    effective_samples: float
    """Independent samples that tell as much of this quantile as the series does."""
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
    n = len(array)
    centred = array - array.mean()
    variance = float(centred @ centred)
    if np.ptp(array) == 0 or variance == 0:
        raise StatsError("all values are equal: nothing tells how they depend on each other")
    padded = np.fft.rfft(centred, 2 * n)
    autocorrelation = np.fft.irfft(padded * padded.conj())[:n] / variance
    pairs = autocorrelation[: n - n % 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    pairs = pairs[: ends[0]] if len(ends) else pairs
    tau = 2 * float(np.minimum.accumulate(pairs).sum()) - 1
    return n / max(tau, 1.0)


def quantile(durations: npt.ArrayLike, q: float) -> Quantile:
    """Return quantile `q` (linear between order statistics) of one process's durations, in order of time.

    Effective samples are counted on the series of exceedances x > quantile, as a slow spell of many
    iterations tells of the tail only once. No sample is dropped. A constant series has no exceedance and
    counts every sample.

    Raises:
        StatsError: no value, or one that is NaN or infinite; `q` not between 0 and 1.
    """
    in_unit("q", q)
    array: Floats = finite(durations)
    value = float(np.quantile(array, q))
    beyond = array > value
    samples = effective_sample_size(beyond) if beyond.any() else float(len(array))
    return Quantile(q, value, samples, samples >= least_effective_samples(q))
