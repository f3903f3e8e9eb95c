"""Quantiles of the studentised range against tables and scipy's own integrals."""

from __future__ import annotations

import pytest

from harness.stats.studentised import studentised_range


@pytest.mark.parametrize(
    ("k", "degrees", "printed"),
    [(2, 1, 17.97), (3, 10, 3.88), (5, 20, 4.23), (10, 60, 4.65), (20, 120, 5.13)],
)
def test_the_printed_table(k, degrees, printed):
    """The upper 5 % points as textbooks print them."""
    assert studentised_range(0.95, k, degrees) == pytest.approx(printed, abs=0.006)


@pytest.mark.parametrize(("level", "k", "degrees"), [(0.95, 500, 1000), (0.99, 3, 2), (0.5, 2, 20_000)])
def test_as_scipy_integrates_it(level, k, degrees):
    """Many configurations, few degrees of freedom and many."""
    from scipy.stats import studentized_range

    q = studentised_range(level, k, degrees)
    assert studentized_range.cdf(q, k, degrees) == pytest.approx(level, abs=1e-9)


def test_two_of_one_degree_have_a_closed_form():
    """The range of two over s is √2·|t|, and t of one degree is Cauchy: at the middle it is 1."""
    assert studentised_range(0.5, 2, 1) == pytest.approx(2**0.5, rel=1e-9)
