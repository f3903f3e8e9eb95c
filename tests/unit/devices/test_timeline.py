"""Recorders, on their own."""

from __future__ import annotations

from itertools import chain, repeat

import numpy as np
import pytest

from harness.devices.timeline import HostTimeline, clock_step, smallest_step


def test_samples_are_differences_of_stamps():
    """Durations come from consecutive readings, and a new start forgets the old samples and marks."""
    readings = iter([100, 130, 190, 1000, 1007])
    timeline = HostTimeline(4, lambda: next(readings))
    timeline.start()
    timeline.stamp()
    timeline.stamp()
    assert timeline.durations_ns().tolist() == [30, 60]
    timeline.start()
    timeline.stamp()
    assert timeline.durations_ns().tolist() == [7]
    assert timeline.marks_ns() == {}


def test_more_samples_than_room_is_an_error():
    """A full recorder raises; it neither grows nor overwrites."""
    timeline = HostTimeline(1, lambda: 5)
    timeline.start()
    timeline.stamp()
    with pytest.raises(IndexError):
        timeline.stamp()
    assert timeline.count == 1


def test_marks_reserved_but_not_passed_are_left_out():
    """A mark that the warm-up passed and the span did not is absent, not an array of -1."""
    timeline = HostTimeline(2, iter(range(0, 100, 10)).__next__)
    timeline.reserve(("first_token",))
    timeline.start()
    timeline.stamp()
    assert timeline.names == ("first_token",)
    assert timeline.marks_ns() == {}


@pytest.mark.parametrize("tick", [32, 64, 1024, 1_000_000])
def test_the_step_of_a_coarse_clock_is_found(tick):
    """Readings rounded to a tick show that tick, whether it is finer or coarser than the reads."""
    reads = np.cumsum(np.random.default_rng(0).integers(1_000, 3_000, 4096))
    assert smallest_step(np.diff(reads // tick * tick)) == tick


def test_the_clock_is_read_4096_times_for_its_step():
    """A clock that moves once in all of them shows by how much; one that moves later stands still."""
    assert clock_step(chain(repeat(5, 4096), [55]).__next__) == 50
    assert clock_step(chain(repeat(5, 4097), [55]).__next__) is None


def test_a_clock_that_stands_still_has_no_step():
    """No movement means unknown."""
    assert smallest_step(np.zeros(10, np.int64)) is None
