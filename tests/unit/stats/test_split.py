"""Variance within and between processes, and the split of time that follows from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from harness.stats import StatsError, long_run_variance, plan_split


def pilot(between, n=6):
    """Return process means with exactly this standard deviation of their logs."""
    z = np.linspace(-1, 1, n)
    return np.exp(between * z / z.std(ddof=1))


def test_batches_of_one_are_the_plain_variance():
    """As many batches as values: the variance itself."""
    values = [1.0, 2.0, 4.0, 7.0]
    assert long_run_variance(values, batches=4) == pytest.approx(np.var(values, ddof=1))


def test_two_batches_by_hand():
    """Means 2 and 5 of batches of three, the first value left out: 3·(3²/2)."""
    assert long_run_variance([99, 1, 2, 3, 4, 5, 6], batches=2) == pytest.approx(3 * 4.5)


def test_correlated_noise_shows_its_long_run_variance():
    """An AR(1) with 0.9 has the variance of a mean multiplied by 1/(1 - 0.9)² over its innovations."""
    series = lfilter([1], [1, -0.9], np.random.default_rng(0).normal(size=400_000))
    assert long_run_variance(series) == pytest.approx(100, rel=0.15)


def test_noise_within_asks_for_longer_processes():
    """With between b, within w²/s and overhead c, the cheapest duration is w/b·√c."""
    means, within = pilot(0.005), 0.004**2
    between = math.sqrt(0.005**2 - within)
    found = plan_split(means, [within] * 6, seconds=5, overhead_s=4, d=0.01)
    assert found.between_sd == pytest.approx(between)
    assert found.within_sd == pytest.approx(0.004 * math.sqrt(5))
    assert found.seconds == pytest.approx(math.sqrt(within * 5 * 4) / between)
    assert found.total_s == pytest.approx(found.replicas * (4 + found.seconds))


def test_the_chosen_split_is_the_cheapest():
    """At the same variance of the mean no other duration takes less time, overheads included."""
    found = plan_split(pilot(0.005), [0.004**2] * 6, seconds=5, overhead_s=4, d=0.01)

    def cost(seconds):
        return (found.between_sd**2 + found.within_sd**2 / seconds) * (4 + seconds)

    assert all(cost(found.seconds) <= cost(other) for other in np.linspace(1, 60, 200))


def test_the_ends_of_the_range():
    """No noise within keeps the pilot's duration; nothing else than it takes the longest."""
    assert plan_split(pilot(0.02), [0.0] * 6, seconds=5, overhead_s=4, d=0.01).seconds == 5
    alone = plan_split(pilot(0.02), [0.03**2] * 6, seconds=5, overhead_s=4, d=0.01, longest_s=20)
    assert (alone.seconds, alone.between_sd) == (20, 0)


def test_replicas_follow_from_the_target():
    """N = ⌈(t·s/d)²⌉ with t5 = 2.5706, between the pilot's number and the cap."""
    assert plan_split(pilot(0.01), [0.0] * 6, seconds=5, overhead_s=4, d=0.01).replicas == 7
    assert plan_split(pilot(0.0001), [0.0] * 6, seconds=5, overhead_s=4, d=0.01).replicas == 6
    assert plan_split(pilot(1.0), [0.0] * 6, seconds=5, overhead_s=4, d=0.01).replicas == 30


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, math.nan], [1.0, 2.0, 3.0]])
def test_series_too_short_or_not_numbers_are_refused(bad):
    """Fewer than two batches, or NaN."""
    with pytest.raises(StatsError):
        long_run_variance(bad)


@pytest.mark.parametrize(
    "changed",
    [
        {"process_means": [1.0]},
        {"within_variances": [0.1]},
        {"within_variances": [-0.1, 0.1]},
        {"seconds": 0},
        {"overhead_s": 0},
        {"d": -1},
        {"longest_s": 1},
        {"level": 1},
    ],
)
def test_a_split_of_nothing_is_refused(changed):
    """One process, missing or negative variances, times and targets that are none."""
    good = {"process_means": [1.0, 1.1], "within_variances": [0.1, 0.1]}
    good |= {"seconds": 5, "overhead_s": 4, "d": 0.01}
    with pytest.raises(StatsError):
        plan_split(**(good | changed))
