"""Traces of power beside a counter: agreement, gaps, failures and the peak."""

from array import array
from types import SimpleNamespace

import pytest

from harness.energy.estimation.power_trace import cross_check, incomplete, largest_w, trace_flags
from harness.energy.sampling.trace import IMPLAUSIBLE, Samples
from harness.energy.sensors.base import SensorInfo

S = 10**9
GAUGE = SensorInfo("test", "0", "Scripted", "instant", "gpu", update_period_s=0.01)
SPAN = (0, S)


def trace(watts=200.0, *, times=None, status=None, lost=0):
    """Return samples of a constant power every 10 ms over a little more than a second."""
    at = array("q", [round(t * S) for t in (times or [i * 0.01 - 0.05 for i in range(111)])])
    states = array("i", status or [0] * len(at))
    return Samples(GAUGE, at, at, array("d", [watts] * len(at)), states, lost)


@pytest.mark.parametrize(
    ("joules", "flags"),
    [
        (200.0, []),
        (203.0, []),
        (206.0, ["sensors_disagree"]),
        (195.0, ["sensors_disagree"]),
        (215.0, ["sensors_conflict"]),
        (100.0, ["sensors_conflict"]),
        (None, []),
    ],
)
def test_a_counter_is_held_to_two_and_five_per_cent_of_the_integral(joules, flags):
    """200 W over one second, and a counter that is precise."""
    estimate = SimpleNamespace(joules=joules, u_joules=None if joules is None else 1e-6)
    assert cross_check(estimate, trace(), SPAN) == flags


def test_a_difference_within_both_uncertainties_is_none():
    """8 % apart, but the counter is only known to 10 %."""
    assert cross_check(SimpleNamespace(joules=216.0, u_joules=20.0), trace(), SPAN) == []


def test_a_whole_trace_has_no_flags():
    """Reads every 10 ms, none lost, none failed."""
    assert trace_flags(trace(), SPAN) == []


def test_what_is_wrong_with_a_trace_is_named():
    """Rows that were overwritten, reads that failed, answers that cannot be true, times without a read."""
    assert trace_flags(trace(lost=3), SPAN) == ["trace_truncated"]
    status = [0] * 111
    status[50] = 999
    assert trace_flags(trace(status=status), SPAN) == ["sensor_error"]
    status[50] = IMPLAUSIBLE
    assert trace_flags(trace(status=status), SPAN) == ["implausible"]
    gap = [t * 0.01 for t in range(101) if not 20 < t < 60]
    assert trace_flags(trace(times=gap), SPAN) == ["sample_gap"]


def test_a_trace_that_ends_early_has_a_gap():
    """The span's own ends count: what was never sampled is not filled in."""
    assert trace_flags(trace(times=[t * 0.01 for t in range(50)]), SPAN) == ["sample_gap"]


def test_the_drivers_buffer_covers_the_span_or_says_why_not():
    """None was taken, it failed, or it is whole."""
    assert "native sampler" in incomplete(None, SPAN)
    assert incomplete(trace(), SPAN) is None


def test_the_peak_is_the_largest_of_all_traces_and_unknown_where_one_failed():
    """A trace that was not taken counts for nothing; one that failed may have missed the peak."""
    assert largest_w([trace(200.0), None, trace(350.0)], SPAN) == pytest.approx(350.0)
    assert largest_w([None], SPAN) is None
    failed = trace(200.0, status=[999] * 111)
    assert largest_w([trace(350.0), failed], SPAN) is None
