"""Welch's comparison against scipy and against known errors and powers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.stats import StatsError, compare_unpaired


def test_it_is_welchs_t_on_logs():
    """Interval and p-value are scipy's for unequal variances, on the logs of the means."""
    rng = np.random.default_rng(1)
    base, head = rng.lognormal(0, 0.02, 7), rng.lognormal(0.05, 0.08, 5)
    found = compare_unpaired(base, head)
    theirs = stats.ttest_ind(np.log(head), np.log(base), equal_var=False)
    bounds = theirs.confidence_interval(0.95)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((np.expm1(bounds.low), np.expm1(bounds.high)))
    assert found.effect == pytest.approx(stats.gmean(head) / stats.gmean(base) - 1)


@pytest.mark.parametrize(("direction", "label"), [("lower", "worse"), ("higher", "better")])
def test_more_is_worse_or_better_by_the_metric(direction, label):
    """A tenth more, far beyond the spread."""
    base = [1.0, 1.001, 0.999, 1.0005]
    assert compare_unpaired(base, [1.1 * b for b in base], direction=direction).label == label


def test_false_verdicts_stay_within_the_level():
    """Two sets of one distribution, sizes and order at random: at most 5 % better or worse, and a little."""
    rng = np.random.default_rng(2)
    wrong = sum(
        compare_unpaired(rng.lognormal(0, 0.05, 6), rng.lognormal(0, 0.05, 8)).label in {"better", "worse"}
        for _ in range(1000)
    )
    assert wrong <= 65


def test_the_detectable_effect_is_found_in_four_of_five():
    """An effect of the size of `mde`, of sets as scattered, is found with the power that it claims."""
    rng = np.random.default_rng(3)
    sizes = [compare_unpaired(rng.lognormal(0, 0.02, 8), rng.lognormal(0, 0.02, 8)).mde for _ in range(300)]
    shift = np.log1p(np.median(sizes))
    found = sum(
        compare_unpaired(rng.lognormal(0, 0.02, 8), rng.lognormal(shift, 0.02, 8)).label == "worse"
        for _ in range(500)
    )
    assert 0.74 <= found / 500 <= 0.86


def test_a_single_process_says_nothing():
    """No interval, no verdict, and the reason as a flag."""
    found = compare_unpaired([1.0], [2.0, 2.1, 2.2])
    assert (found.label, found.low, found.mde, found.flags) == (
        "inconclusive",
        None,
        None,
        ("within-run only",),
    )


def test_values_without_spread_are_judged_by_their_ratio():
    """Bytes that three processes a side agree on need no chance; two a side are too few."""
    assert compare_unpaired([100.0] * 3, [150.0] * 3).label == "worse"
    assert compare_unpaired([100.0] * 3, [100.0] * 3).label == "equivalent"
    assert compare_unpaired([100.0] * 2, [150.0] * 2).label == "inconclusive"


@pytest.mark.parametrize("bad", [[], [0.0, 1.0], [-1.0, 1.0], [float("nan"), 1.0]])
def test_what_has_no_logarithm_is_refused(bad):
    """Zero, negative, NaN and nothing are typed errors on either side."""
    with pytest.raises(StatsError):
        compare_unpaired(bad, [1.0, 1.1])
    with pytest.raises(StatsError):
        compare_unpaired([1.0, 1.1], bad)
