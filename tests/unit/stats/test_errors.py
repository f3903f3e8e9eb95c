"""What is no number, or no direction, is refused by its type and never counted."""

from __future__ import annotations

import math

import pytest

from harness.stats import (
    StatsError,
    compare,
    compare_unpaired,
    effective_sample_size,
    interval,
    linear_interval,
    long_run_variance,
    pareto,
    quantile,
    quantile_interval,
    rank,
)

NO_NUMBERS = [["fast", "slow"], [1 + 1j, 2.0], object(), {"a": 1.0}, [[1.0], [1.0, 2.0]]]


@pytest.mark.parametrize("values", [*NO_NUMBERS, [1.0, 1e308], [1.0, math.inf], [math.nan], [], 3.0])
@pytest.mark.parametrize(
    "function",
    [
        interval, linear_interval, effective_sample_size, long_run_variance,
        lambda values: compare(values, values),
        lambda values: compare_unpaired([1.0, 2.0], values),
        lambda values: rank([values, [1.0, 2.0]]),
        lambda values: pareto([values, [[1.0], [2.0]]]),
        lambda values: quantile(values, 0.5),
    ],
)  # fmt: skip
def test_what_is_no_series_of_numbers_is_refused(function, values):
    """Text, complex numbers, objects, ragged lists, numbers without a square, infinity, NaN, nothing."""
    with pytest.raises(StatsError):
        function(values)


@pytest.mark.parametrize(
    "function",
    [
        lambda: compare([1.0, 2.0], [1.0, 2.0], direction="up"),
        lambda: compare_unpaired([1.0, 2.0], [1.0, 2.0], direction="Lower"),
        lambda: rank([[1.0, 2.0]], direction=""),
        lambda: pareto([[[1.0], [2.0]]], ["more"]),
    ],
)
def test_a_direction_that_is_none_is_refused(function):
    """Taken for one of the two, it might turn a verdict round."""
    with pytest.raises(StatsError, match="direction"):
        function()


@pytest.mark.parametrize(
    "function",
    [
        lambda: interval([1e-150, 1e150]),
        lambda: compare([1e-150, 1e150], [1e150, 1e-150]),
        lambda: compare_unpaired([1e-150, 1e150], [1.0, 2.0]),
    ],
)
def test_a_bound_beyond_all_numbers_is_an_error(function):
    """Values 300 decades apart have no interval that a number can hold."""
    with pytest.raises(StatsError, match="scatter"):
        function()


def test_a_spread_too_small_for_a_square_is_no_spread():
    """Values whose variance underflows show no spread, and say so, instead of an interval without width."""
    found = linear_interval([1e-300, 2e-300, 3e-300])
    assert (found.low, found.flags) == (found.high, ("no spread",))


def test_equal_durations_have_a_flagged_quantile():
    """Their interval has no width because the clock shows one value, not because it is sure."""
    assert "no spread" in quantile_interval([1.0] * 40, 0.5).flags
    assert "no spread" not in quantile_interval([1.0, 2.0] * 40, 0.5).flags
