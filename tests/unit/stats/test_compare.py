"""Comparisons of pairs: worked by hand, and every label at its edge."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import StatsError, compare, finished, minimum_detectable_effect, next_look
from harness.stats.compare import LOOKS

T5 = 3.4519
"""Student's t at 1 - .0182/2 with 5 degrees of freedom, by integrating its density."""


def ones(n):
    """Return a baseline of ones."""
    return np.ones(n)


def test_the_interval_is_t_on_the_log_ratios():
    """Six log ratios of mean 0.03 and sd 0.02: half-width t5·0.02/√6 at the level of one look."""
    d = 0.03 + 0.02 * np.array([-1, 1, -1, 1, -1, 1]) / math.sqrt(6 / 5)
    found = compare(ones(6), np.exp(d))
    half = T5 * 0.02 / math.sqrt(6)
    assert found.effect == pytest.approx(math.expm1(0.03))
    assert found.low == pytest.approx(math.expm1(0.03 - half), rel=1e-3)
    assert found.high == pytest.approx(math.expm1(0.03 + half), rel=1e-3)
    assert (found.label, found.pairs, found.flags) == ("worse", 6, ("ties",))


def test_pairs_cancel_what_they_share():
    """What moves both of a pair, however much, leaves the comparison as it is."""
    rng = np.random.default_rng(1)
    base, head, drift = rng.normal(1, 0.01, 10), rng.normal(1.05, 0.01, 10), rng.uniform(1, 9, 10)
    alone, together = compare(base, head), compare(base * drift, head * drift)
    assert together.effect == pytest.approx(alone.effect)
    assert together.low == pytest.approx(alone.low)


@pytest.mark.parametrize(
    ("effect", "direction", "label"),
    [
        (0.03, "lower", "worse"),
        (-0.03, "lower", "better"),
        (0.03, "higher", "better"),
        (-0.03, "higher", "worse"),
        (0.001, "lower", "equivalent"),
        (-0.001, "higher", "equivalent"),
    ],
)
def test_the_label_follows_the_metrics_direction(effect, direction, label):
    """More time is worse, more throughput better, and a tenth of a percent is neither."""
    head = (1 + effect) * np.exp([-0.001, 0.001, -0.0015, 0.0015, 0.0005, -0.0005])
    assert compare(ones(6), head, direction=direction).label == label


def test_equivalent_comes_before_worse():
    """An interval that excludes zero and lies within the margin is a difference that does not matter."""
    head = 1.004 * np.exp([-0.001, 0.001, -0.0015, 0.0015, 0.0005, -0.0005])
    found = compare(ones(6), head)
    assert found.low > 0
    assert found.label == "equivalent"
    assert compare(ones(6), head, delta=0.005).label == "worse"


def test_what_cannot_be_told_is_inconclusive():
    """An interval that holds zero and leaves the margin says nothing."""
    assert compare(ones(6), np.exp([-0.1, 0.1, -0.05, 0.06, 0.02, -0.02])).label == "inconclusive"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=24, unique=True), st.floats(0.5, 2.0))
def test_turning_a_comparison_round_turns_its_verdict(ratios, factor):
    """Swapping the sides inverts the ratio, its bounds, and better with worse."""
    head = np.array(ratios) * factor
    there, back = compare(ones(len(head)), head), compare(head, ones(len(head)))
    assert 1 + back.effect == pytest.approx(1 / (1 + there.effect))
    assert 1 + back.low == pytest.approx(1 / (1 + there.high))
    assert back.p_value == pytest.approx(there.p_value)
    turned = {"better": "worse", "worse": "better"}
    if "equivalent" not in {there.label, back.label}:
        assert back.label == turned.get(there.label, there.label)


def test_one_pair_is_flagged_and_decides_nothing():
    """A single pair gives its ratio, no bounds, and no verdict however large the ratio."""
    found = compare([1.0], [2.0])
    assert (found.label, found.effect, found.flags) == ("inconclusive", 1.0, ("within-run only",))
    assert (found.low, found.high, found.mde, found.p_value) == (None, None, None, None)


def test_equal_ratios_are_flagged_and_decide_only_from_the_first_look():
    """Bytes of memory are the same in every process: six pairs decide, five do not, and both say why."""
    six, five = compare(ones(6) * 100, ones(6) * 110), compare(ones(5) * 100, ones(5) * 110)
    assert (six.label, five.label) == ("worse", "inconclusive")
    assert six.flags == five.flags == ("no spread",)
    assert compare(ones(6), ones(6)).label == "equivalent"


def test_equal_ratios_of_unequal_means_are_equal_despite_rounding():
    """Pairs that all show 10 % more have no spread, whatever their sizes."""
    base = np.array([0.1, 0.7, 1.3, 3.1, 5.9, 7.7])
    assert compare(base, base * 1.1).flags == ("no spread",)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_values_without_a_logarithm_are_refused(bad):
    """NaN, infinite, zero and negative times are errors on either side."""
    good = [1.0, 1.1, 1.2]
    for sides in (([1.0, bad, 1.2], good), (good, [1.0, bad, 1.2])):
        with pytest.raises(StatsError):
            compare(*sides)


@pytest.mark.parametrize(
    ("base", "head", "options"),
    [([], [], {}), ([1, 2], [1, 2, 3], {}), ([1, 2], [1, 3], {"delta": 0}), ([1, 2], [1, 3], {"alpha": 1})],
)
def test_what_makes_no_pairs_or_no_test_is_refused(base, head, options):
    """No pair, a side too long, no margin, no level: typed errors."""
    with pytest.raises(StatsError):
        compare(base, head, **options)


def test_looks_come_after_6_10_16_and_24():
    """The next look after any number of pairs, and none after the last."""
    assert [next_look(n) for n in (0, 5, 6, 9, 10, 16, 23, 24, 99)] == [6, 6, 10, 10, 16, 24, 24, None, None]


def test_a_comparison_stops_at_a_look_with_a_verdict_or_at_the_last():
    """Between looks nothing is decided, not even when it is clear."""
    rng = np.random.default_rng(3)

    def clear(n):
        return finished(compare(ones(n), 1.2 * np.exp(rng.normal(0, 0.01, n))))

    def unclear(n):
        return finished(compare(ones(n), np.exp(0.5 * (-1.0) ** np.arange(n) + 0.01 * rng.normal(size=n))))

    assert [clear(n) for n in (5, 6, 7, 10)] == [False, True, False, True]
    assert [unclear(n) for n in (*LOOKS, 25)] == [False, False, False, True, True]


def test_an_effect_of_the_detectable_size_is_found_four_times_in_five():
    """Series with that true effect: 80 % of the tests at this number of pairs exclude zero."""
    rng = np.random.default_rng(4)
    sd, n = 0.02, 10
    exact = sd * np.sqrt(n / (n - 1)) * (np.arange(n) % 2 * 2 - 1) * np.sqrt((n - 1) / n)
    mde = minimum_detectable_effect(exact * sd / exact.std(ddof=1))
    found = [
        compare(ones(n), np.exp(rng.normal(math.log1p(mde), sd, n)), delta=1e-9).label == "worse"
        for _ in range(1500)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_more_pairs_detect_less():
    """Planned for 24 pairs the least effect is below half of that of 6."""
    scatter = [0.01, -0.01, 0.02, -0.02, 0.005, -0.005]
    assert minimum_detectable_effect(scatter, pairs=24) < minimum_detectable_effect(scatter) / 2
    with pytest.raises(StatsError):
        minimum_detectable_effect([0.01])
