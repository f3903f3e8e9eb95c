"""Acceptance holds the risks that it states."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.acceptance import accept
from harness.stats.errors import StatsError

HOW = {"direction": "higher", "margin": 0.05}


def decide(rng, truth, spread, *, direction="higher"):
    """Measure as many replicas as are asked for, and return the decision on a threshold of 100."""
    values = list(truth * np.exp(spread * rng.standard_normal(6)))
    while True:
        found = accept(values, 100.0, direction=direction, margin=0.05)
        if found.decision != "not enough data":
            return found.decision
        more = found.needed - len(values)
        values += list(truth * np.exp(spread * rng.standard_normal(more)))


@pytest.mark.parametrize("spread", [0.01, 0.05])
@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_both_risks_hold_over_2000_simulations(spread, direction):
    """At 5 % each, at most 6 %: a machine at the threshold is accepted, one at the margin rejected."""
    rng = np.random.default_rng(7)
    better = 100 * (1.05 if direction == "higher" else 1 / 1.05)
    wrong = {"accepted": 0, "rejected": 0}
    for truth, error in ((100.0, "accepted"), (better, "rejected")):
        for _ in range(2000):
            wrong[error] += decide(rng, truth, spread, direction=direction) == error
    assert max(wrong.values()) <= 0.06 * 2000


def test_too_few_replicas_say_how_many_more():
    """Before the pilot its size; then what the pilot's spread plans."""
    assert accept([], 100.0, **HOW).needed == 6
    assert accept([101.0, 102.0], 100.0, **HOW).decision == "not enough data"
    scattered = [90.0, 120.0, 100.0, 95.0, 115.0, 105.0]
    found = accept(scattered, 100.0, **HOW)
    s0 = np.log(scattered).std(ddof=1)
    assert found.needed == math.ceil((2 * 2.0150484 * s0 / math.log(1.05)) ** 2)


def test_replicas_beyond_the_plan_change_nothing():
    """Going on until it fits does not help."""
    few = [99.0, 99.1, 99.0, 98.9, 99.0, 99.1]
    assert accept(few, 100.0, **HOW).decision == "rejected"
    assert accept([*few, *[500.0] * 20], 100.0, **HOW).decision == "rejected"
    assert accept([104.0, 104.1, 104.0, 103.9, 104.0, 104.1], 100.0, **HOW).decision == "accepted"


def test_bad_numbers_are_refused():
    """No threshold of 0, no margin of 0, no risk of a half."""
    for wrong in ({"threshold": 0.0}, {"margin": 0.0}, {"buyer_risk": 0.5}):
        with pytest.raises(StatsError):
            accept([1.0], **{"threshold": 1.0, **HOW, **wrong})
