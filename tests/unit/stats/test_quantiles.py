"""Quantiles of one process and the samples they rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats import (
    StatsError,
    effective_sample_size,
    interval,
    least_effective_samples,
    process_quantile_interval,
    quantile,
    quantile_interval,
    quantiles,
)


@pytest.mark.parametrize(("q", "samples"), [(0.5, 6), (0.9, 36), (0.99, 368), (0.999, 3688), (0.01, 368)])
def test_least_samples_of_a_two_sided_interval(q, samples):
    """The published figures, and the same for the low end."""
    assert least_effective_samples(q) == samples


def test_independent_samples_count_fully():
    """White noise loses under a tenth to the estimate itself, and no series counts for more than it has."""
    series = np.random.default_rng(1).normal(size=5000)
    assert 4500 < effective_sample_size(series) <= 5000
    assert effective_sample_size([1.0, -1.0] * 50) == 100


@pytest.mark.parametrize("phi", [0.5, 0.8, 0.95])
def test_correlated_samples_count_by_their_correlation_time(phi):
    """A first-order series with coefficient phi has tau = (1 + phi)/(1 - phi)."""
    rng = np.random.default_rng(2)
    series = np.zeros(200_000)
    for i, noise in enumerate(rng.normal(size=len(series) - 1), 1):
        series[i] = phi * series[i - 1] + noise
    tau = len(series) / effective_sample_size(series)
    assert tau == pytest.approx((1 + phi) / (1 - phi), rel=0.1)


@pytest.mark.parametrize("series", [[], [1.0], [2.0] * 9, [1.0, math.nan]])
def test_correlation_needs_variation(series):
    """Nothing, one value, equal values and NaN show no correlation."""
    with pytest.raises(StatsError):
        effective_sample_size(series)


def test_a_known_quantile():
    """0 to 1000 in random order: p99 is 990, from enough independent samples."""
    found = quantile(np.random.default_rng(3).permutation(1001), 0.99)
    assert found.value == 990
    assert found.effective_samples > 368
    assert found.enough


def test_one_slow_half_of_a_long_series_is_one_sample():
    """Its correlations go on for thousands of lags: their sum is that of every lag."""
    n = 20_000
    series = np.repeat([0.0, 1.0], n // 2)
    lags = np.arange(n)
    # Half of the products are 1 within a half, and the others -1: n - 3 lag of them up to the middle.
    correlations = np.where(lags < n / 2, n - 3 * lags, lags - n) / n
    positive = correlations[: np.flatnonzero(correlations[::2] + correlations[1::2] <= 0)[0] * 2].sum()
    assert effective_sample_size(series) == pytest.approx(max(1.0, n / (2 * positive - 1)), rel=1e-9)
    assert quantile(series + lags * 1e-9, 0.5).effective_samples == effective_sample_size(series)


def test_one_slow_spell_does_not_support_a_tail():
    """A thousand iterations whose slow tenth is one spell do not bound p90 on both sides."""
    spell = np.r_[np.full(900, 1.0), np.full(100, 2.0)] + np.arange(1000) * 1e-9
    assert not quantile(spell, 0.9).enough
    assert quantile(np.random.default_rng(4).permutation(spell), 0.9).enough


def test_too_few_samples_are_not_enough():
    """367 independent samples are one short for p99."""
    draws = np.random.default_rng(5).permutation(368.0 + np.arange(368))
    assert quantile(draws[:367], 0.99).enough is False


def test_a_constant_series_is_its_own_quantile():
    """Equal durations have that quantile, resting on their number."""
    found = quantile([5.0] * 40, 0.9)
    assert (found.value, found.effective_samples, found.enough) == (5.0, 40.0, True)


@pytest.mark.parametrize("n", [1, 2, 7, 300, (1 << 14) + 1])
def test_several_quantiles_are_what_each_is_alone(n):
    """To the last bit, and as numpy has them; events are counted as a Fourier transform counts them."""
    durations = np.random.default_rng(6).gamma(2.0, size=n)
    qs = (0.5, 0.9, 0.99)
    found = quantiles(durations, qs)
    assert found == [quantile(durations, q) for q in qs]
    assert [one.value for one in found] == np.quantile(durations, qs).tolist()
    for one in found:
        beyond = durations > one.value
        transformed = effective_sample_size(beyond.astype(float)) if beyond.any() else n
        assert one.effective_samples == pytest.approx(transformed, rel=1e-9)


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("q", [0.5, 0.99])
def test_exceedances_of_dependent_samples_are_counted_as_a_fourier_transform_counts_them(keep, q):
    """Whether the sum of their autocorrelations ends soon or, of slow spells, after hundreds of lags."""
    durations = _ar1(np.random.default_rng(7).normal(size=20_001), keep)
    found = quantile(durations, q)
    transformed = effective_sample_size((durations > found.value).astype(float))
    assert found.effective_samples == pytest.approx(transformed, rel=1e-9)
    assert transformed < 0.9 * len(durations)


@pytest.mark.parametrize(("values", "q"), [([], 0.5), ([math.nan], 0.5), ([1.0], 0.0), ([1.0], 99.0)])
def test_quantiles_of_nothing_are_typed_errors(values, q):
    """No value, NaN, and a percentage for a share are refused."""
    with pytest.raises(StatsError):
        quantile(values, q)


def test_order_statistics_bound_the_median_of_six():
    """The least sample that can: all of it, since 2·0.5⁶ = 0.031 is left outside."""
    found = quantile_interval([1.0, 4.0, 2.0, 5.0, 3.0, 6.0], 0.5)
    assert (found.estimate, found.low, found.high) == (3.5, 1.0, 6.0)
    assert found.flags == ("within-run only",)


def test_too_few_samples_give_no_bounds():
    """Five for a median, 35 for p90: the value stands, the bounds are withheld and the flag says why."""
    for n, q in ((5, 0.5), (35, 0.9)):
        found = quantile_interval(np.arange(1.0, n + 1), q)
        assert (found.low, found.high) == (None, None)
        assert "too few samples" in found.flags


@pytest.mark.parametrize("keep", [0.0, 0.9])
def test_order_statistics_cover_correlated_series_too(keep):
    """The p90 of an AR(1) is held in at least 93 of 100 series, by counting effective samples."""
    rng = np.random.default_rng(8)
    truth = 1.2815515655446004
    held = []
    for _ in range(150):
        noise = rng.normal(0, math.sqrt(1 - keep**2), 2400)
        series = noise if keep == 0 else _ar1(noise, keep)
        found = quantile_interval(series[400:], 0.9)
        held.append(found.low is not None and found.low <= truth <= found.high)
    assert np.mean(held) >= 0.9


def _ar1(noise, keep):
    series = np.empty_like(noise)
    last = 0.0
    for i, step in enumerate(noise):
        last = keep * last + step
        series[i] = last
    return series


def test_over_processes_a_quantile_is_a_metric_like_any_other():
    """The t-interval on the logs of the processes' own quantiles."""
    rng = np.random.default_rng(9)
    processes = [rng.lognormal(i / 100, 0.1, 500) for i in range(4)]
    own = [quantile(p, 0.9).value for p in processes]
    assert process_quantile_interval(processes, 0.9) == interval(own)


def test_one_process_too_short_withholds_the_bounds():
    """Its tail is only its largest, and would pass for a tail."""
    rng = np.random.default_rng(10)
    found = process_quantile_interval([rng.lognormal(0, 0.1, n) for n in (500, 500, 20)], 0.9)
    assert (found.low, found.high) == (None, None)
    assert found.flags == ("too few samples",)


@pytest.mark.parametrize("bad", [[], [[]], [[1.0, math.nan]], [[1.0, 0.0]]])
def test_bad_processes_are_refused(bad):
    """No process, an empty one, NaN, a time of zero."""
    with pytest.raises(StatsError):
        process_quantile_interval(bad, 0.5)
