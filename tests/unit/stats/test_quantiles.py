"""Quantiles of one process and the samples they rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats import StatsError, effective_sample_size, least_effective_samples, quantile


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
    """Nothing, one value, equal values and NaN tell no correlation."""
    with pytest.raises(StatsError):
        effective_sample_size(series)


def test_a_known_quantile():
    """0 to 1000 in random order: p99 is 990, from enough independent samples."""
    found = quantile(np.random.default_rng(3).permutation(1001), 0.99)
    assert found.value == 990
    assert found.effective_samples > 368
    assert found.enough


def test_one_slow_spell_does_not_support_a_tail():
    """A thousand iterations whose slow tenth is one spell do not tell p90 to a two-sided interval."""
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


@pytest.mark.parametrize(("values", "q"), [([], 0.5), ([math.nan], 0.5), ([1.0], 0.0), ([1.0], 99.0)])
def test_quantiles_of_nothing_are_typed_errors(values, q):
    """No value, NaN, and a percentage for a share are refused."""
    with pytest.raises(StatsError):
        quantile(values, q)
