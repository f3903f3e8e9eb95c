"""What bounds the work: facts whose verdict is known."""

import pytest

from harness.profile.bottleneck import bottleneck
from harness.profile.facts import Event, count
from harness.stats.roofline import place


def facts(**busy):
    """A span of 100 ns: for each kind, when it ran."""
    events = [Event(kind, kind, begin, end, end - begin) for kind, (begin, end) in busy.items()]
    return count(events, (0, 100), device="cuda", iterations=1)


def under(compute, memory):
    """A placement whose FLOPs and bytes alone would take these shares of the time."""
    return place(flops=compute, least_bytes=memory, seconds=1.0, flop_s=1.0, bandwidth_b_s=1.0)


@pytest.mark.parametrize(
    ("profile", "placement", "bound"),
    [
        (facts(compute=(0, 100)), under(0.6, 0.2), "compute"),
        (facts(compute=(0, 100)), under(0.2, 0.6), "memory"),
        (facts(compute=(0, 40)), under(0.2, 0.2), "launch"),
        (facts(compute=(0, 50), communication=(40, 95)), under(0.3, 0.1), "communication"),
        (facts(compute=(0, 50), input=(50, 100)), under(0.3, 0.1), "input"),
        (facts(compute=(0, 95)), under(0.2, 0.1), "undecided"),
        (facts(compute=(0, 40)), None, "launch"),
        (facts(compute=(0, 60)), None, "undecided"),
    ],
)
def test_the_candidate_that_explains_most_of_the_time_is_the_verdict(profile, placement, bound):
    """The largest share wins from 30 % on; without ceilings it must be half of the time."""
    assert bottleneck(profile, placement).bound == bound


def test_a_power_cap_turns_compute_into_power_and_leaves_launch_alone():
    """Lowered clocks bound what keeps the device busy, and not what leaves it waiting."""
    busy, idle = facts(compute=(0, 100)), facts(compute=(0, 30))
    assert bottleneck(busy, under(0.6, 0.2), power_capped=True).bound == "power"
    assert bottleneck(busy, under(0.6, 0.2), power_capped=None).bound == "compute"
    assert bottleneck(idle, under(0.1, 0.1), power_capped=True).bound == "launch"


def test_the_evidence_names_the_shares_weightiest_first():
    """Sentences carry the figures; shares of nothing are left out; missing ceilings are said."""
    found = bottleneck(facts(compute=(0, 90)), under(0.61, 0.2))
    assert "61%" in found.evidence[0]
    assert "bandwidth" in found.evidence[1]
    assert not any("input" in line for line in found.evidence)
    assert "busy 90% of the time" in found.evidence[-2]
    assert found.evidence[-1] == "the longest operator, compute, takes 100% of the work"
    without = bottleneck(facts(compute=(0, 90)), None)
    assert "compute" not in without.shares
    assert any("qualify the device" in line for line in without.evidence)
