"""The roofline: work placed under ceilings whose answer is known."""

import pytest

from harness.stats.roofline import place


def test_work_at_half_the_arithmetic_ceiling():
    """100 FLOPs over 1 byte in 2 s, under 100 FLOP/s and 10 B/s: half of the arithmetic ceiling."""
    found = place(flops=100, least_bytes=1, seconds=2, flop_s=100, bandwidth_b_s=10)
    assert (found.intensity, found.attained_flop_s, found.roof_flop_s) == (100, 50, 100)
    assert (found.share, found.under) == (0.5, "compute")
    assert (found.compute_share, found.memory_share) == (0.5, 0.05)


def test_work_under_the_slope():
    """2 FLOPs per byte under 100 FLOP/s and 10 B/s may reach 20 FLOP/s; 5 of them are a quarter."""
    found = place(flops=20, least_bytes=10, seconds=4, flop_s=100, bandwidth_b_s=10)
    assert (found.roof_flop_s, found.share, found.under) == (20, 0.25, "memory")
    assert found.memory_share == 0.25


def test_the_ridge_belongs_to_compute():
    """Where both ceilings are equal the arithmetic one is named."""
    assert place(flops=10, least_bytes=1, seconds=1, flop_s=100, bandwidth_b_s=10).under == "compute"


@pytest.mark.parametrize("name", ["flops", "least_bytes", "seconds", "flop_s", "bandwidth_b_s"])
def test_nothing_is_placed_without_its_numbers(name):
    """A zero has no place; the name is said."""
    numbers = {"flops": 1.0, "least_bytes": 1.0, "seconds": 1.0, "flop_s": 1.0, "bandwidth_b_s": 1.0}
    with pytest.raises(ValueError, match=name):
        place(**(numbers | {name: 0.0}))
