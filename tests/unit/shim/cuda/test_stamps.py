"""What stamps and clocks mean, from stamps whose truth is known."""

from __future__ import annotations

import pytest

from harness.shim.cuda.stamps import (
    STAMP,
    Stamp,
    clock_between,
    median,
    read_stamps,
    smallest_tick_ns,
    soaked,
    throttle,
)


def snapshot(tag, at_ns, hz_by_sm):
    """Stamp every SM at a moment, its clock having run at `hz` since 0."""
    return [Stamp(at_ns, round(hz * at_ns / 1e9), sm, tag) for sm, hz in hz_by_sm.items()]


def test_each_sm_has_its_own_clock():
    """Two SMs at different clocks come out apart, with their spread."""
    hz = {0: 1.7e9, 1: 1.7e9, 2: 1.53e9}
    clock = clock_between(snapshot(1, 1000, hz) + snapshot(2, 1_001_000, hz), 1, 2)
    assert clock.hz == pytest.approx(hz)
    assert clock.median_hz == pytest.approx(1.7e9)
    assert clock.spread == pytest.approx(0.1)
    assert clock.span_ns == 1_000_000


def test_an_sm_missing_from_a_snapshot_is_missing_from_the_result():
    """No clock is made up for it."""
    stamps = snapshot(1, 1000, {0: 1e9, 1: 1e9}) + snapshot(2, 2000, {0: 1e9})
    assert set(clock_between(stamps, 1, 2).hz) == {0}


def test_snapshots_without_a_common_sm_or_with_a_still_timer_give_no_clock():
    """Both are errors and not a clock of zero."""
    with pytest.raises(ValueError, match="no SM was seen"):
        clock_between(snapshot(1, 1000, {0: 1e9}) + snapshot(2, 2000, {1: 1e9}), 1, 2)
    with pytest.raises(ValueError, match="no SM was seen"):
        clock_between(snapshot(1, 1000, {0: 1e9}) + snapshot(2, 1000, {0: 1e9}), 1, 2)


def test_the_first_of_two_stamps_on_an_sm_counts():
    """A second block on the same SM does not move the snapshot."""
    stamps = [Stamp(0, 0, 0, 1), Stamp(500, 9999, 0, 1), Stamp(1000, 2000, 0, 2)]
    assert clock_between(stamps, 1, 2).hz == {0: pytest.approx(2e9)}


@pytest.mark.parametrize(
    ("hz", "throttled"), [(1.7e9, False), (1.650e9, False), (1.648e9, True), (1.2e9, True), (1.8e9, False)]
)
def test_the_alarm_sounds_at_a_drop_of_three_percent(hz, throttled):
    """Below 97 % of the reference it is throttling; above, and when it rose, it is not."""
    verdict = throttle(1.7e9, hz)
    assert verdict.throttled is throttled
    assert verdict.drop == pytest.approx(1 - hz / 1.7e9)


def test_a_reference_of_nothing_is_refused():
    """A clock cannot be judged against 0."""
    with pytest.raises(ValueError, match="reference clock of 0"):
        throttle(0, 1e9)


@pytest.mark.parametrize(
    ("rates", "steady"),
    [([], False), ([1.0], False), ([1.0, 1.0009], True), ([1.0, 1.0011], False), ([2, 1, 1], True)],
)
def test_a_soak_is_steady_when_the_last_two_windows_agree(rates, steady):
    """Within a tenth of a percent."""
    assert soaked(rates) is steady


@pytest.mark.parametrize(
    ("moments", "tick"),
    [([0, 64, 128, 256], 64), ([5, 5, 1029, 2053], 1024), ([7], None), ([7, 7], None), ([], None)],
)
def test_the_tick_is_the_smallest_step(moments, tick):
    """Where the timer stood still there is none."""
    assert smallest_tick_ns(moments) == tick


def test_a_ring_that_wrapped_is_read_from_its_oldest():
    """Of six stamps in four places the last four remain, in order; before wrapping only what was written."""
    ring = b"".join(STAMP.pack(10 * i, i, 0, i) for i in (4, 5, 2, 3))
    assert [stamp.tag for stamp in read_stamps(ring, 6)] == [2, 3, 4, 5]
    assert [stamp.tag for stamp in read_stamps(ring, 2)] == [4, 5]


@pytest.mark.parametrize(("values", "middle"), [([3], 3), ([4, 1], 2.5), ([9, 1, 5], 5)])
def test_the_median_is_the_middle(values, middle):
    """Of an even number, the mean of both middle ones."""
    assert median(values) == middle
