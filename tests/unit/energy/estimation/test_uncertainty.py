"""The uncertainty of an iteration's energy, against numbers worked out by hand."""

import math
from types import SimpleNamespace

import pytest

from harness.energy.estimation.uncertainty import iteration_u
from harness.energy.loop import mean_of_loops


def loop(joules, u_joules, u_absolute_joules):
    """Return what `mean_of_loops` reads of a loop."""
    return SimpleNamespace(joules=joules, u_joules=u_joules, u_absolute_joules=u_absolute_joules)


def test_a_window_is_shared_by_its_iterations():
    """Edges of 3 J, idle power of 4 J and a quantum of 12 J leave 13 J, which is 0.13 J of 100 iterations."""
    assert iteration_u([3.0, 4.0, 12.0], 100, 0.0) == pytest.approx((0.13, 0.13))


def test_a_gain_is_in_the_absolute_uncertainty_alone():
    """0.3 J of repeatability and a gain of 0.4 J are 0.5 J in all."""
    assert iteration_u([3.0], 10, 0.4) == pytest.approx((0.3, 0.5))


def test_the_spread_of_repetitions_falls_with_their_root():
    """9, 10, 11 and 10 J stray by sqrt(2/3) J: half of that over four; one shows nothing."""
    spread_j = math.sqrt(2 / 3) / 2
    assert iteration_u([0.0], 1, 0.0, [9.0, 10.0, 11.0, 10.0])[0] == pytest.approx(spread_j)
    assert iteration_u([6.0], 10, 0.0, [9.0, 10.0, 11.0, 10.0])[0] == pytest.approx(math.hypot(0.6, spread_j))
    assert iteration_u([6.0], 10, 0.0, [9.0])[0] == pytest.approx(0.6)


def test_no_iteration_has_no_energy():
    """Nothing is divided by 0."""
    with pytest.raises(ValueError, match="at least one"):
        iteration_u([1.0], 0, 0.0)


def test_loops_are_averaged_with_their_spread_and_their_widest_window():
    """8 and 12 J stray by sqrt(8) J, over two by 2 J; with windows' 1.5 J 2.5 J, with a gain's 6 J 6.5 J."""
    loops = [loop(8.0, 1.5, math.hypot(1.5, 6.0)), loop(12.0, 0.5, math.hypot(0.5, 6.0))]
    assert mean_of_loops(loops) == pytest.approx((10.0, 2.5, 6.5))


def test_a_loop_without_energy_has_no_mean():
    """What was not measured is left out of no mean in silence."""
    assert mean_of_loops([loop(8.0, 1.0, 1.0), loop(None, None, None)]) is None
    with pytest.raises(ValueError, match="at least one loop"):
        mean_of_loops([])
