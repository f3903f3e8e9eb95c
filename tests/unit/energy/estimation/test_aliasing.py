"""Aliasing against brute force: what a counter that samples in part sees of switched work."""

import math

import pytest

from harness.energy.estimation.aliasing import LIMIT, is_aliased, left_by_shifts, shifts, weight
from harness.energy.sensors.base import SensorInfo

PERIOD = 0.1


def counter(**facts):
    """Return a counter of 100 ms that samples a quarter of each period, with changes."""
    known = {"update_period_s": PERIOD, "averaging_window_s": PERIOD / 4, "aliases": True}
    return SensorInfo("test", "0", "Scripted", "counter", "gpu", **known | facts)


def error_of(iteration_s, window_s, offsets, *, steps=400):
    """Return the largest relative error of the mean power, over where the looks fall in the iteration.

    The work draws 4 W in the first quarter of each iteration and nothing in the rest.
    """
    worst = 0.0
    for shift in range(50):
        on = looked = 0
        for offset in offsets:
            begin = shift / 50 * iteration_s + offset * PERIOD
            phases = [((begin + i / steps * window_s) / iteration_s) % 1 for i in range(steps)]
            on += sum(4 for phase in phases if phase < 0.25)
            looked += steps
        worst = max(worst, abs(on / looked - 1))
    return worst


@pytest.mark.parametrize("iteration_s", [0.1, 0.05, 0.2])
def test_iterations_in_step_with_the_counter_are_aliased_and_really_err(iteration_s):
    """The weight is large, and so is the error of a counter that looks at one place of the iteration."""
    assert is_aliased(counter(), iteration_s, 5.0)
    found = weight(iteration_s, PERIOD, PERIOD / 4, range(50))
    assert found > LIMIT
    assert error_of(iteration_s, PERIOD / 4, range(10)) > LIMIT


@pytest.mark.parametrize("iteration_s", [0.0137, 0.0731, 0.0417])
def test_iterations_out_of_step_are_not_and_really_do_not_err(iteration_s):
    """Over five seconds the looks spread over the iteration."""
    assert not is_aliased(counter(), iteration_s, 5.0)
    assert error_of(iteration_s, PERIOD / 4, range(50)) < 2 * LIMIT


def test_a_counter_that_always_samples_or_a_gauge_cannot_be_aliased():
    """Nor can one whose update period is unknown be judged; one that was never probed may be aliased."""
    assert not is_aliased(counter(aliases=False), PERIOD, 5.0)
    assert not is_aliased(counter(update_period_s=None), PERIOD, 5.0)
    assert not is_aliased(SensorInfo("t", "0", "S", "instant", "gpu", update_period_s=PERIOD), PERIOD, 5.0)
    assert is_aliased(counter(aliases=None, averaging_window_s=None), PERIOD, 5.0)


@pytest.mark.parametrize("iteration_s", [0.1, 0.05, 0.025])
def test_blocks_shifted_by_the_chosen_number_see_all_of_an_iteration(iteration_s):
    """The number is at least 16 and under 32, and the error of brute force is gone."""
    blocks = shifts(counter(), iteration_s)
    assert 16 <= blocks < 32
    offsets = [k / blocks for k in range(blocks)]
    assert weight(iteration_s, PERIOD, PERIOD / 4, offsets) < LIMIT
    assert error_of(iteration_s, PERIOD / 4, offsets) < LIMIT


def test_a_fast_counter_takes_more_blocks():
    """What jitters in their starts weighs more where the period is short."""
    assert shifts(counter(update_period_s=0.02), 0.02) >= 64


def test_what_is_left_grows_with_stray_and_falls_with_blocks():
    """2/sqrt(12·K³) without stray; a counter that always samples leaves nothing."""
    assert left_by_shifts(counter(), [0.0] * 16) == pytest.approx(2 / math.sqrt(12 * 16**3))
    assert left_by_shifts(counter(), [0.0] * 32) < left_by_shifts(counter(), [0.0] * 16)
    one_late = left_by_shifts(counter(), [0.01] + [0.0] * 15)
    assert one_late == pytest.approx(math.hypot(2 / math.sqrt(12 * 16**3), 0.5 / 16))
    assert left_by_shifts(counter(), [9.0] + [0.0] * 15) == pytest.approx(
        math.hypot(2 / math.sqrt(12 * 16**3), 1 / 16)
    )
    assert left_by_shifts(counter(aliases=False), [9.0] * 16) == 0.0


def test_every_block_that_strays_counts():
    """Half of 64 blocks late by a tenth of the period leave 4.4 %."""
    late = left_by_shifts(counter(), [0.0, 0.01] * 32)
    assert late == pytest.approx(math.hypot(2 / math.sqrt(12 * 64**3), 0.5 * math.sqrt(32) / 64))
