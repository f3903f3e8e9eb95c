"""The nightly screen on nights whose story is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats import StatsError, compare, night_label, screen

CALM = np.exp(0.01 * np.tile([-1.0, 0.0, 1.0, 0.0], 10)) * 5
"""Forty nights round 5; of the last 30 the median of |x - median| is 0.01 or 0."""


def pairs(effect, sd=0.002, n=6):
    """Return a comparison with exactly this mean effect."""
    z = np.linspace(-1, 1, n)
    return compare(np.ones(n), np.exp(math.log1p(effect) + sd * z / z.std(ddof=1)))


def test_the_baseline_is_the_median_and_the_scale_its_mad():
    """Nights at ±1 % around 5: scale 1.4826·0.01, and 4 % more is z = ln 1.04 / scale."""
    nights = 5 * np.exp(0.01 * np.tile([-1.0, 1.0], 15))
    found = screen(nights, 5 * 1.04, floor=1e-6)
    assert found.baseline == pytest.approx(5)
    assert found.shift == pytest.approx(0.04)
    assert found.z == pytest.approx(math.log(1.04) / 0.014826)
    assert (found.suspect, found.nights) == (False, 30)


def test_three_deviations_are_suspect_on_either_side():
    """Just beyond z = 3 in either direction, and not just below."""
    nights = np.exp(0.01 * np.tile([-1.0, 1.0], 15))
    for sign in (-1, 1):
        assert screen(nights, math.exp(sign * 3.01 * 0.014826), floor=1e-6).suspect
        assert not screen(nights, math.exp(sign * 2.99 * 0.014826), floor=1e-6).suspect


def test_the_floor_keeps_equal_nights_from_crying_wolf():
    """Constant nights have no spread: a floor of 1 % makes 2 % more nothing special."""
    assert not screen(np.ones(30), 1.02, floor=0.01).suspect
    assert screen(np.ones(30), 1.02, floor=0.005).suspect


def test_small_shifts_add_up():
    """Nights 1.5 deviations high are never beyond 3, and after some of them the sum is beyond 4."""
    calm, high = np.ones(30), math.exp(0.015)
    verdicts = [screen(np.append(calm, [high] * n), high, floor=0.01) for n in range(6)]
    assert [one.z for one in verdicts] == pytest.approx([1.5] * 6)
    assert [one.cusum for one in verdicts] == pytest.approx([1, 2, 3, 4, 5, 6])
    assert [one.suspect for one in verdicts[:3] + verdicts[4:]] == [False] * 3 + [True] * 2


def test_only_the_last_thirty_nights_count():
    """What was long ago another machine does not widen the spread."""
    old = np.full(100, 50.0)
    assert screen(np.append(old, CALM), 5.0, floor=0.01) == screen(CALM, 5.0, floor=0.01)


@pytest.mark.parametrize("nights", [0, 1, 7])
def test_few_nights_are_not_judged(nights):
    """Below eight there is no baseline, and the label says so."""
    found = screen(np.ones(nights), 9.0, floor=0.01)
    assert (found.baseline, found.z, found.suspect, found.nights) == (None, None, False, nights)
    assert night_label(found, None) == "not_enough_nights"


@pytest.mark.parametrize(
    ("confirmation", "direction", "label"),
    [
        (pairs(0.05), "lower", "regression"),
        (pairs(-0.05), "lower", "improvement"),
        (pairs(0.05), "higher", "improvement"),
        (pairs(0.007), "lower", "regression"),
        (pairs(0.003), "lower", "environment_shift"),
        (pairs(0.0), "lower", "environment_shift"),
        (pairs(0.0, sd=0.02), "lower", "environment_shift"),
        (pairs(0.0, sd=0.2), "lower", "inconclusive"),
        (compare([1.0], [1.05]), "lower", "inconclusive"),
    ],
    ids=[
        "up",
        "down",
        "up, higher is better",
        "over half of delta",
        "under it",
        "same",
        "inconclusive but not the shift",
        "inconclusive and may be it",
        "one pair",
    ],
)
def test_a_suspect_night_is_what_its_pairs_say(confirmation, direction, label):
    """Tonight is 5 % up; only pairs make it a regression, and pairs that exclude it the environment."""
    tonight = screen(np.ones(30), 1.05, floor=0.005)
    assert tonight.suspect
    assert night_label(tonight, confirmation, direction=direction) == label


def test_a_quiet_night_needs_no_pairs_and_a_suspect_one_does():
    """Nothing is believed of a suspect night without its confirmation."""
    assert night_label(screen(CALM, 5.0, floor=0.01), None) == "quiet"
    with pytest.raises(StatsError):
        night_label(screen(CALM, 9.0, floor=0.01), None)


@pytest.mark.parametrize(
    ("history", "tonight", "floor"),
    [
        (CALM, math.nan, 0.01),
        (CALM, 0.0, 0.01),
        (CALM, -1.0, 0.01),
        ([1.0, math.nan], 1.0, 0.01),
        (CALM, 5.0, 0.0),
        (CALM, 5.0, math.nan),
        (CALM, 5.0, math.inf),
    ],
)
def test_bad_nights_are_refused(history, tonight, floor):
    """Values without a logarithm, and floors that are none."""
    with pytest.raises(StatsError):
        screen(history, tonight, floor=floor)
