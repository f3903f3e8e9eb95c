"""Many comparisons at once: the procedure's own example, and what it does to a sweep's verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats import StatsError, across_sweep, benjamini_hochberg, compare

PUBLISHED = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
PUBLISHED += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
"""The 15 p-values of Benjamini and Hochberg's paper (1995); four are rejected at .05."""


def comparison(effect, sd, n=6):
    """Compare with log ratios of exactly this mean and standard deviation."""
    z = np.linspace(-1, 1, n)
    z = z / z.std(ddof=1)
    return compare(np.ones(n), np.exp(math.log1p(effect) + sd * z))


def test_the_papers_example():
    """The four smallest are rejected, in whatever order they come."""
    assert benjamini_hochberg(PUBLISHED) == [True] * 4 + [False] * 11
    assert benjamini_hochberg(PUBLISHED[::-1]) == [False] * 11 + [True] * 4


def test_a_large_p_value_can_carry_smaller_ones_along():
    """It is a step-up procedure: 0.049 of two lets 0.04 pass, which alone among two would fail."""
    assert benjamini_hochberg([0.04, 0.049]) == [True, True]
    assert benjamini_hochberg([0.04, 0.9]) == [False, False]


@pytest.mark.parametrize("bad", [[], [math.nan], [-0.1], [1.1]])
def test_what_is_no_probability_is_refused(bad):
    """No p-value, NaN, or one outside 0 to 1."""
    with pytest.raises(StatsError):
        benjamini_hochberg(bad)


def test_a_weak_verdict_does_not_survive_a_wide_sweep():
    """A p-value of about .01 is a verdict alone, and none among twenty that show nothing."""
    weak, strong, nothing = comparison(0.02, 0.0128), comparison(0.1, 0.01), comparison(0.0, 0.05)
    assert weak.label == strong.label == "worse"
    judged = across_sweep([weak, strong, *[nothing] * 20])
    assert [one.label for one in judged[:3]] == ["inconclusive", "worse", "inconclusive"]
    assert judged[0].effect == weak.effect


def test_a_sure_but_small_effect_is_no_verdict():
    """Below the least effect nothing is better or worse, however sure; equivalence stays."""
    small = comparison(0.008, 0.003)
    assert small.label == "worse"
    assert across_sweep([small])[0].label == "inconclusive"
    same = comparison(0.0, 0.001)
    assert across_sweep([same]) == [same]
    assert across_sweep([]) == []


def test_verdicts_without_spread_stand_by_their_size():
    """Bytes have no p-value: 10 % more stays worse."""
    assert across_sweep([compare(np.ones(6), np.full(6, 1.1))])[0].label == "worse"
