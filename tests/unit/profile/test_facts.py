"""A profile's shares, from events whose times are known."""

import pytest

from harness.profile.facts import TOP, Event, count
from harness.profile.intervals import gaps, length, overlap, union


def event(begin, end, kind="compute", name="kernel", module="", own=None):
    """One event."""
    return Event(name, kind, begin, end, end - begin if own is None else own, module)


def counted(*events, span=(0, 100)):
    """Count events of two iterations within a span of 100 ns."""
    return count(events, span, device="cuda", iterations=2)


def test_union_merges_what_touches_and_drops_what_is_empty():
    """Overlapping, touching and empty intervals become two disjoint ones."""
    assert union([(5, 8), (0, 2), (2, 3), (7, 9), (4, 4)]) == [(0, 3), (5, 9)]
    assert length([(0, 3), (5, 9)]) == 7


def test_overlap_is_what_lies_in_both():
    """Three pieces of two unions overlap by 1 + 2 + 1."""
    assert overlap([(0, 3), (5, 9)], [(2, 7), (8, 20)]) == 4
    assert overlap([(0, 3)], []) == 0


def test_gaps_are_the_uncovered_parts_of_the_span():
    """Before, between and after; a full span has none."""
    assert gaps([(2, 3), (5, 9)], (0, 10)) == [2, 2, 1]
    assert gaps([(0, 10)], (0, 10)) == []
    assert gaps([], (0, 10)) == [10]


def test_busy_idle_and_gaps_add_up():
    """Two streams busy from 10 to 60 and one kernel from 80 to 90: 60 % busy, three gaps of 10, 20 and 10."""
    found = counted(event(10, 50), event(40, 60), event(80, 90))
    assert (found.busy_share, found.idle_share) == (0.6, 0.4)
    assert (found.gaps, found.gap_median_ns, found.gap_longest_ns) == (3, 10.0, 20)


def test_communication_is_split_into_hidden_and_exposed():
    """40 ns of communication, 30 of them beside computation: 40 % in all, 10 % exposed."""
    found = counted(event(0, 50), event(20, 60, "communication"))
    assert found.communication_share == pytest.approx(0.4)
    assert found.exposed_communication_share == pytest.approx(0.1)


def test_input_counts_as_copy_and_only_its_exposed_part_as_waiting():
    """30 ns from the host, 10 of them hidden, and 5 ns of another copy."""
    found = counted(event(0, 50), event(40, 70, "input"), event(90, 95, "copy"))
    assert found.copy_share == pytest.approx(0.35)
    assert found.input_share == pytest.approx(0.2)


def test_what_reaches_out_of_the_span_is_cut_off():
    """A kernel that began before the span counts from the span's start."""
    assert counted(event(-50, 10)).busy_share == pytest.approx(0.1)


def test_operators_are_added_up_by_name_and_module_longest_first():
    """Own time counts, so that nested events are not counted twice."""
    found = counted(
        event(0, 30, name="mm", module="a", own=10),
        event(30, 40, name="mm", module="a"),
        event(40, 70, name="mm", module="b"),
        event(70, 80, name="add"),
    )
    assert [(o.name, o.module, o.calls, o.total_ns) for o in found.operators] == [
        ("mm", "b", 1, 30),
        ("mm", "a", 2, 20),
        ("add", "", 1, 10),
    ]
    assert found.operators[0].share == pytest.approx(0.5)
    assert found.modules == (("b", pytest.approx(0.5)), ("a", pytest.approx(1 / 3)))


def test_what_is_kept_is_bounded():
    """A thousand names leave the twenty longest."""
    found = counted(*(event(0, 1 + i % 90, name=f"k{i}", module=f"m{i}") for i in range(1000)))
    assert len(found.operators) == len(found.modules) == TOP
    assert found.events == 1000


def test_an_idle_device_is_all_gap():
    """No event: idle all the time, one gap, no operator; never a division by nothing."""
    found = counted()
    assert (found.busy_share, found.idle_share, found.gaps, found.operators) == (0.0, 1.0, 1, ())
    with pytest.raises(ValueError, match="0 ns"):
        counted(span=(5, 5))
