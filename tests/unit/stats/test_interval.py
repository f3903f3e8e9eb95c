"""Intervals with known answers: worked by hand from Student's table, and by coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import StatsError, interval, linear_interval, plan_replicas, within_run_interval

T95 = {1: 12.7062047, 2: 4.3026527, 3: 3.1824463, 4: 2.7764451, 5: 2.5705818, 9: 2.2621572}
"""Student's t at 0.975, by degrees of freedom, from the printed table."""


def test_the_interval_is_t_on_the_logs():
    """Logs 0, 1, 2, 3: mean 1.5, sd sqrt(5/3), half-width t3·sd/2, all exponentiated."""
    found = interval(np.exp([0.0, 1.0, 2.0, 3.0]))
    half = T95[3] * math.sqrt(5 / 3) / 2
    assert found.estimate == pytest.approx(math.exp(1.5))
    assert found.low == pytest.approx(math.exp(1.5 - half))
    assert found.high == pytest.approx(math.exp(1.5 + half))
    assert (found.n, found.level, found.flags) == (4, 0.95, ())


def test_the_two_stage_interval_takes_its_spread_from_the_pilot():
    """With a pilot of 3, s0 and t come from the first three alone and N from all (Stein)."""
    logs = [0.1, 0.2, 0.3, 0.9, -0.4, 0.5]
    found = interval(np.exp(logs), pilot=3)
    half = T95[2] * 0.1 / math.sqrt(6)
    centre = sum(logs) / 6
    assert found.low == pytest.approx(math.exp(centre - half))
    assert found.high == pytest.approx(math.exp(centre + half))


def test_a_linear_interval_holds_signed_values():
    """Values around zero keep their sign: mean 0, sd 2, half-width t2·2/√3."""
    found = linear_interval([-2.0, 0.0, 2.0])
    half = T95[2] * 2 / math.sqrt(3)
    assert found.estimate == 0
    assert (found.low, found.high) == pytest.approx((-half, half))


def test_one_process_has_no_bounds():
    """A single process gives its mean, no bounds, and says so."""
    for found in (interval([2.5]), linear_interval([2.5])):
        assert found.estimate == pytest.approx(2.5)
        assert (found.low, found.high) == (None, None)
        assert found.flags == ("within-run only",)


def test_equal_values_are_flagged():
    """A width of zero is never passed off as certainty, also when only the pilot's values are equal."""
    assert interval([3.0, 3.0, 3.0]).flags == ("no spread",)
    assert interval([3.0, 3.0, 3.1], pilot=2).flags == ("no spread",)


def test_ties_are_flagged():
    """Some equal values mean that the spread may be finer than what measured it."""
    assert interval([3.0, 3.0, 3.1]).flags == ("ties",)


@pytest.mark.parametrize(
    "values", [[], [1.0, math.nan], [1.0, math.inf], [1.0, 0.0], [1.0, -2.0], [[1.0, 2.0]]]
)
def test_numbers_without_a_logarithm_are_typed_errors(values):
    """Nothing, NaN, infinity, zero, a negative and a table are refused, not averaged."""
    with pytest.raises(StatsError):
        interval(values)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, -math.inf]])
def test_a_linear_interval_refuses_what_is_not_finite(values):
    """Zero and negatives are fine there; nothing, NaN and infinity are not."""
    with pytest.raises(StatsError):
        linear_interval(values)


@pytest.mark.parametrize("pilot", [0, 1, 5])
def test_a_pilot_has_two_to_all_values(pilot):
    """A pilot of one shows no spread, and one beyond the data was not measured."""
    with pytest.raises(StatsError, match="pilot"):
        interval([1.0, 1.1, 1.2, 1.3], pilot=pilot)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_probability(level):
    """95 for 0.95 is refused."""
    with pytest.raises(StatsError, match="level"):
        interval([1.0, 1.1], level=level)


def test_more_replicas_are_planned_as_the_square_of_the_spread():
    """s0 = 0.1, t5 = 2.5706, d = 0.05: (2.5706·0.1/0.05)² = 26.4, so 27."""
    pilot = np.exp(np.array([-1, 1, -1, 1, -1, 1]) * 0.1 * math.sqrt(5 / 6))
    assert plan_replicas(pilot, 0.05) == 27
    assert plan_replicas(pilot, 0.05, cap=20) == 20
    assert plan_replicas(pilot, 0.5) == 6


def test_a_pilot_without_spread_plans_no_more():
    """Equal means need no further replica; a pilot above the cap is not undone."""
    assert plan_replicas([1.0, 1.0, 1.0], 0.01) == 3
    assert plan_replicas(np.exp([0.0, 1.0, 2.0, 3.0]), 0.01, cap=2) == 4


@pytest.mark.parametrize(
    ("means", "d"), [([1.0], 0.01), ([1.0, 1.1], 0.0), ([1.0, 1.1], math.nan), ([], 0.1)]
)
def test_a_plan_needs_spread_and_a_target(means, d):
    """One process, no process, and a target of nothing are typed errors."""
    with pytest.raises(StatsError):
        plan_replicas(means, d)


def test_within_a_run_the_batches_stand_for_replicas():
    """Ten batches of two: the interval is t9 on the logs of their means, the odd one left out."""
    means = np.exp(np.arange(10.0) / 10)
    durations = np.append(np.repeat(means, 2), 99.0)
    found = within_run_interval(durations)
    logs = np.log(means)
    half = T95[9] * logs.std(ddof=1) / math.sqrt(10)
    assert found.low == pytest.approx(math.exp(logs.mean() - half))
    assert found.high == pytest.approx(math.exp(logs.mean() + half))
    assert (found.n, found.flags) == (21, ("within-run only",))


def test_within_a_run_a_batch_needs_a_duration():
    """Nine durations do not fill ten batches."""
    with pytest.raises(StatsError, match="do not fill"):
        within_run_interval(np.ones(9))


@pytest.mark.parametrize("n", [3, 6])
def test_intervals_cover_the_truth_as_often_as_they_say(n):
    """In 4000 log-normal experiments with a known truth, 95 % intervals cover it 94 to 96 % of the time."""
    draws = np.exp(np.random.default_rng(n).normal(0.0, 0.05, (4000, n)))
    found = [interval(row) for row in draws]
    covered = np.mean([one.low <= 1.0 <= one.high for one in found])
    assert 0.94 < covered < 0.96


def test_two_stage_intervals_cover_the_truth_at_the_planned_width():
    """Planned from a pilot of 6 and continued, intervals cover 95 % and are no wider than the target."""
    rng = np.random.default_rng(7)
    covered, widest = 0, 0.0
    for _ in range(2000):
        pilot = np.exp(rng.normal(0.0, 0.05, 6))
        more = plan_replicas(pilot, 0.04, cap=10_000) - 6
        found = interval(np.append(pilot, np.exp(rng.normal(0.0, 0.05, more))), pilot=6)
        covered += found.low <= 1.0 <= found.high
        widest = max(widest, math.log(found.high / found.low) / 2)
    assert 0.94 < covered / 2000 < 0.965
    assert widest <= 0.04 + 1e-12


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=12, unique=True), st.floats(1e-6, 1e6))
def test_a_change_of_unit_scales_the_interval(values, factor):
    """Seconds or milliseconds: estimate and bounds scale alike, and the estimate lies within."""
    one, other = interval(values), interval(np.array(values) * factor)
    assert other.estimate == pytest.approx(one.estimate * factor, rel=1e-9)
    assert other.low == pytest.approx(one.low * factor, rel=1e-6)
    assert other.high == pytest.approx(one.high * factor, rel=1e-6)
    assert one.low <= one.estimate <= one.high


def test_the_quantiles_that_are_written_down_are_those_of_t():
    """Each one at 95 % is scipy's for its degrees of freedom, and needs no scipy."""
    from scipy.special import stdtrit

    from harness.stats.interval import _T_95

    assert pytest.approx([float(stdtrit(degrees, 0.975)) for degrees in range(1, 31)], rel=1e-14) == _T_95
    assert len(_T_95) == 30
