"""Arrivals: their mean rate, their spread, and that equal seeds arrive alike."""

import numpy as np
import pytest

from harness.serving.arrivals import arrivals_s, rescaled_s

COUNT = 20_000


@pytest.mark.parametrize(
    ("process", "burstiness", "variation"),
    [("constant", 1.0, 0.0), ("poisson", 1.0, 1.0), ("gamma", 4.0, 4.0), ("gamma", 0.25, 0.25)],
)
def test_gaps_have_the_mean_and_variation_that_were_asked_for(process, burstiness, variation):
    """Mean gap 1 / rate; squared coefficient of variation as the process has it."""
    gaps = np.diff(arrivals_s(process, 8.0, COUNT, seed=3, burstiness=burstiness), prepend=0.0)
    # Five standard errors of the mean and of the variance of gamma gaps.
    assert gaps.mean() == pytest.approx(1 / 8, rel=1e-9 + 5 * (variation / COUNT) ** 0.5)
    spread = 5 * ((2 * variation**2 + 6 * variation**3) / COUNT) ** 0.5
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(variation, abs=spread + 1e-9)


def test_a_rate_scales_the_same_arrivals():
    """Points of a curve see the same pattern at another speed."""
    slow, fast = (arrivals_s("poisson", rate, 50, seed=1) for rate in (1.0, 10.0))
    assert slow == pytest.approx([10 * at for at in fast])
    assert slow != arrivals_s("poisson", 1.0, 50, seed=2)


def test_a_trace_keeps_its_pattern_at_another_rate():
    """Four arrivals over 3 s have a mean rate of 1 per second."""
    assert rescaled_s([10.0, 10.5, 13.0, 11.0], 2.0) == pytest.approx((0.0, 0.25, 0.5, 1.5))


@pytest.mark.parametrize(
    "asked",
    [
        {"process": "uniform", "rate_per_s": 1.0},
        {"process": "poisson", "rate_per_s": 0.0},
        {"process": "poisson", "rate_per_s": float("nan")},
        {"process": "gamma", "rate_per_s": 1.0, "burstiness": 0.0},
        {"process": "poisson", "rate_per_s": 1.0, "burstiness": 2.0},
    ],
)
def test_what_cannot_be_is_refused(asked):
    """Each with a reason."""
    with pytest.raises(ValueError, match=r"rate|burstiness|arrivals"):
        arrivals_s(count=3, seed=0, **asked)


def test_a_trace_without_a_rate_cannot_be_rescaled():
    """One moment has no rate."""
    with pytest.raises(ValueError, match="two times"):
        rescaled_s([1.0, 1.0], 2.0)
