"""Change points of series whose levels are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats import StatsError, change_points


def nights(*levels, noise=0.003, seed=0):
    """Return one value a night: (level, number of nights) in turn, with this sd of the logs."""
    rng = np.random.default_rng(seed)
    return np.concatenate([level * np.exp(rng.normal(0, noise, count)) for level, count in levels])


def test_steps_are_found_where_they_are():
    """A regression of 2 % on night 30, fixed on night 45."""
    assert change_points(nights((1.0, 30), (1.02, 15), (1.0, 20))) == [30, 45]


def test_an_exact_step_is_found_without_noise():
    """Bytes of memory do not scatter."""
    assert change_points([100.0] * 10 + [120.0] * 10) == [10]


def test_one_level_has_no_change_in_99_of_100_series():
    """At alpha 0.01 noise alone makes a cut in about one series of a hundred."""
    cut = sum(bool(change_points(nights((1.0, 40), seed=seed), seed=seed)) for seed in range(200))
    assert cut <= 6  # P(B(200, 0.01) > 6) = 0.4 %


@pytest.mark.parametrize("values", [[1.0], [1.0] * 50, [1.0, 2.0, 1.0], [1.0] * 5 + [9.0] * 2])
def test_short_or_constant_series_have_none(values):
    """A level has four values at least."""
    assert change_points(values) == []


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, 0.0], [1.0, -1.0], ["a"]])
def test_bad_values_are_refused(values):
    """None, NaN, zero, negative, no numbers."""
    with pytest.raises(StatsError):
        change_points(values)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan, 1e-6])
def test_an_alpha_that_cannot_be_told_is_refused(alpha):
    """Not between 0 and 1, or finer than the random orders."""
    with pytest.raises(StatsError):
        change_points([1.0] * 9, alpha)
