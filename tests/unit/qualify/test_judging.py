"""Verdicts of the instrument's checks: each proven on both sides of its limit."""

import pytest

from harness.qualify import judging


@pytest.mark.parametrize(("measured", "status"), [(1000.0, "pass"), (1000.1, "fail"), (None, "fail")])
def test_a_limit_from_above(measured, status):
    """At the limit passes, above it fails, and no value is never a pass."""
    assert judging.at_most("x", "what", measured, 1000, "ns").status == status


@pytest.mark.parametrize(("measured", "status"), [(2.0, "pass"), (1.99, "fail"), (None, "fail")])
def test_a_limit_from_below(measured, status):
    """At the limit passes, below it fails, and no value is never a pass."""
    assert judging.at_least("x", "what", measured, 2, "1").status == status


def test_a_check_that_cannot_be_made_is_neither_passed_nor_failed():
    """It says why instead."""
    check = judging.not_available("x", "what", "no sensor")
    assert (check.status, check.reason, check.measured) == ("not available", "no sensor", None)


def test_the_error_of_spins_is_the_median_less_the_instruments_own_cost():
    """70 ns too long with an instrument that costs 50 ns are 20 ns off; one outlier is not seen."""
    assert judging.spin_error_ns([1070, 2070, 99_000], [1000, 2000, 3000], 50) == 20


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ({20_000: 140.0, 200_000: 499.0}, "pass"),
        ({20_000: 141.0, 200_000: 0.0}, "fail"),
        ({20_000: 0.0, 200_000: -501.0}, "fail"),
    ],
)
def test_spins_may_err_by_a_floor_and_a_share(errors, status):
    """100 ns + 0.2 %: 140 ns at 20 us and 500 ns at 200 us are the limits, on either side."""
    check = judging.spins("x", "what", errors, floor_ns=100, share=0.002)
    assert check.status == status


def test_equal_work_passes_and_slower_work_does_not():
    """One distribution passes; 5 % apart with a spread of 0.1 % fails; half a per cent passes."""
    a = [1.0, 1.001, 0.999, 1.0005]
    assert judging.same_mean("x", "what", a, a[::-1]).status == "pass"
    slower = judging.same_mean("x", "what", a, [v * 1.05 for v in a])
    assert slower.status == "fail"
    assert slower.measured == pytest.approx(1.05)
    assert judging.same_mean("x", "what", a, [v * 1.005 for v in a]).status == "pass"


def test_a_wider_spread_is_seen_and_a_narrower_one_passes():
    """Ten times the spread fails by the F test; the other way round passes."""
    narrow = [1.0, 1.001, 0.999, 1.0005, 0.9995, 1.0]
    wide = [1 + 10 * (v - 1) for v in narrow]
    assert judging.no_wider("x", "what", wide, narrow).status == "fail"
    assert judging.no_wider("x", "what", narrow, wide).status == "pass"


def test_the_spread_is_relative():
    """Values a factor e apart spread by the standard deviation of 0 and 1."""
    assert judging.spread([1.0, 2.718281828459045]) == pytest.approx(0.5**0.5)


def test_two_halves_that_are_far_apart_fail_however_few_they_are():
    """A ratio of 0.63 between two pairs is not certain, and disturbed all the same."""
    apart = judging.same_mean("workers.same", "what", [1.0, 1.3], [0.8, 0.65])
    near = judging.same_mean("workers.same", "what", [1.0, 1.1], [0.97, 1.05])
    assert (apart.status, near.status) == ("fail", "pass")
