"""Joules from a counter's readings: sums over wraps, or the reason why there is none."""

from dataclasses import replace

import pytest
from standins import virtual

from harness.energy.estimation.counter import REASONS, counted, new_values, quantum_j, stuck
from harness.energy.sensors.base import Reading, SensorInfo

S = 10**9


def info(**facts):
    """Return a GPU's counter of 0.1 s and 300 W, with changes."""
    return SensorInfo(
        "test", "0", "Scripted", "counter", "gpu", **{"update_period_s": 0.1, "rated_w": 300.0} | facts
    )


def readings(*values, step_s=1.0):
    """Return readings of these joules, one a step, that take no time."""
    return [Reading(round(i * step_s * S), round(i * step_s * S), energy_j=v) for i, v in enumerate(values)]


def test_the_sum_is_the_last_value_less_the_first():
    """Whatever lies between."""
    assert counted(info(), readings(1000.0, 1200.0, 1350.0)) == (350.0, "")


def test_a_counter_that_wraps_goes_on_counting():
    """The values fall once, by the wrap less what was counted."""
    assert counted(info(wrap_j=4000.0), readings(3800.0, 3950.0, 100.0, 250.0)) == (450.0, "")


@pytest.mark.parametrize(
    ("facts", "values", "flag"),
    [
        ({}, (1000.0, None, 1200.0), "sensor_error"),
        ({}, (1000.0, 900.0, 1000.0), "counter_reset"),
        ({"wrap_j": 1e6}, (1000.0, 100.0), "counter_reset"),
        ({}, (1000.0, 1000.0 + 3 * 300 * 1.2), "counter_jumped"),
        ({"wrap_j": 500.0}, (100.0, 200.0), "wrap_unknown"),
        ({}, (1000.0, 1000.0), "counter_still"),
    ],
)
def test_what_leaves_no_number_has_a_flag_with_its_sentence(facts, values, flag):
    """A counter that failed, was set back, jumped, could have wrapped more than once, or stood still."""
    assert counted(info(**facts), readings(*values)) == (None, flag)
    assert REASONS[flag]


def test_a_fall_that_is_much_faster_than_its_neighbours_was_a_reset():
    """A counter of 150 J a second falls: by a wrap if it goes on at its pace, else it was set back."""
    facts, before = info(wrap_j=3800.0), [3000.0 + 150 * i for i in range(6)]
    assert counted(facts, readings(*before, 100.0)) == (900.0, "")
    assert counted(facts, readings(*before, 850.0)) == (None, "counter_reset")


def test_only_a_new_value_is_a_tick():
    """Repeated values are one update of the counter."""
    assert [r.energy_j for r in new_values(readings(1.0, 1.0, 2.0, 2.0, 5.0))] == [2.0, 5.0]


def test_standing_still_for_more_than_five_periods_is_flagged_and_at_the_end_leaves_no_number():
    """A counter of unknown period cannot be judged; a short pause is none."""
    pace = [float(i) for i in range(10)]
    paused = [*pace, *[9.0] * 8, 10.0, 11.0]
    assert stuck(info(), readings(*pace, step_s=0.1)) == (False, ())
    assert stuck(info(), readings(*paused, step_s=0.1)) == (False, ("sensor_stuck",))
    assert stuck(info(), readings(*pace, *[9.0] * 8, step_s=0.1)) == (True, ("sensor_stuck",))
    assert stuck(info(update_period_s=None), readings(*pace, *[9.0] * 8, step_s=0.1)) == (False, ())


def test_a_counters_step_is_what_its_increments_share():
    """Rises of 1.5, 2.0 and 3.5 J over a fall share half a joule; where all are alike the values decide."""
    info = virtual.VirtualMeter(virtual.Waveform(60)).sensors[0]
    assert quantum_j(info, [10.0, 11.5, 13.5, 0.0, 3.5]) == pytest.approx(0.5)
    assert quantum_j(info, [10.0, 11.5, 13.5, 15.5]) == pytest.approx(0.5)
    assert quantum_j(info, [10.0, 11.5, 13.0, 14.5]) == pytest.approx(0.5)
    assert quantum_j(info, [10.001, 11.501, 13.001]) == pytest.approx(0.001)
    assert quantum_j(info, [10.0, 10.0]) is None
    assert quantum_j(replace(info, quantum=None), [1.0, 2.0, 4.0, 9.0]) is None
