"""Looking at the host before measuring, waiting for quiet, and choosing how threads wait."""

import pytest

from harness.config.models import Config
from harness.execution.host_watch import HostWatch
from harness.planning.plan import make_plan
from harness.system.busiest import Busy
from harness.system.contention import Contention, is_contended

S = 10**9


def seen(others_cpus, cpus=2):
    """A second in which others used so many CPUs."""
    busy_ns = None if others_cpus is None else round(others_cpus * S)
    return Contention(span_ns=S, threads=0, waited_ns=0, own_ns=0, busy_ns=busy_ns, cpus=cpus)


class World:
    """A host whose looks are scripted; each takes a second of scripted time."""

    def __init__(self, *others):
        self.others, self.now, self.notes = list(others), 0.0, []
        self.watch = HostWatch(
            self.notes.append, self.look, lambda: [Busy(7, "chromium", 1.4, mine=True)], lambda: self.now
        )

    def look(self, seconds, _since):
        """The next second."""
        self.now += seconds
        return seen(self.others.pop(0) if len(self.others) > 1 else self.others[0])


def config(*overrides) -> Config:
    """A trial's configuration."""
    return make_plan(["workload=noop", "device=cpu", *overrides]).trials[0].config


def record(**contention):
    """A stand-in for a record with this evidence."""
    return type("Record", (), {"evidence": {"contention": contention} if contention else {}})


def test_a_busy_host_is_named_with_the_process_and_the_remedy():
    """One line before anything is measured, and threads then sleep at barriers."""
    world = World(1.4)
    assert world.watch.before() is True
    (line,) = world.notes
    assert "1.4 of 2 CPUs" in line
    assert "chromium (7)" in line
    assert "run.quiet_wait_s" in line
    assert world.watch.wait_policy(config()) == "passive"


def test_a_quiet_host_is_not_talked_about():
    """A twentieth of the CPUs is not worth a word; threads spin."""
    world = World(0.1)
    assert world.watch.before() is False
    assert not world.notes
    assert world.watch.wait_policy(config()) == "active"


def test_what_the_kernel_does_not_tell_is_not_called_busy():
    """Unknown is neither."""
    world = World(None)
    assert world.watch.before() is False


@pytest.mark.parametrize(
    ("others", "ends_busy", "waited_s"), [((1.0, 1.0, 0.0), False, 3), ((1.0,), True, 5)]
)
def test_waiting_ends_with_quiet_or_with_its_limit(others, ends_busy, waited_s):
    """Quiet in the third second ends the wait; five seconds end it anyway, and both are said."""
    world = World(*others)
    assert world.watch.before(quiet_wait_s=5.0) is ends_busy
    assert world.now == waited_s
    assert ("stayed busy" if ends_busy else "quiet now") in world.notes[-1]


def test_each_replica_tells_of_the_host_for_the_next():
    """Others who come or leave within the sweep change how the next replica's threads wait."""
    watch = World(0.0).watch
    watch.after(record(others_cpus=1.0, cpus=2))
    assert watch.wait_policy(config()) == "passive"
    watch.after(record())
    assert watch.wait_policy(config()) == "passive", "a record that says nothing changes nothing"
    watch.after(record(others_cpus=0.02, cpus=2))
    assert watch.wait_policy(config()) == "active"


def test_a_policy_that_the_user_fixes_holds_on_any_host():
    """`device.wait` beats what is seen, and is part of the trial's identity; `auto` is not."""
    watch = World(1.4).watch
    watch.before()
    assert watch.wait_policy(config("device.wait=spin:1000")) == "spin:1000"
    ids = {make_plan(["workload=noop", "device=cpu", f"device.wait={w}"]).trials[0].trial_id
           for w in ("auto", "active", "passive")}  # fmt: skip
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("evidence", "contended"),
    [
        ({"delay_share": 0.5, "others_cpus": 1.0, "cpus": 2}, True),
        ({"delay_share": 0.03, "others_cpus": 0.0, "cpus": 2}, True),
        ({"delay_share": 0.03, "others_cpus": 0.0, "cpus": 2, "threads": 2}, True),
        ({"delay_share": 0.03, "others_cpus": 0.01, "cpus": 2, "threads": 5}, False),
        ({"delay_share": 0.03, "others_cpus": 0.03, "cpus": 2, "threads": 5}, True),
        ({"delay_share": 0.03, "others_cpus": None, "cpus": 2, "threads": 5}, True),
        ({"delay_share": 0.01, "others_cpus": 0.05, "cpus": 2}, False),
        ({"delay_share": None, "others_cpus": None, "cpus": 2}, False),
        ({"delay_share": 0.0, "others_cpus": 5.0, "cpus": 128}, False),
        ({}, False),
    ],
)
def test_contention_is_delay_or_others(evidence, contended):
    """Either counts; five of 128 CPUs disturb nobody, and a team larger than the machine waits for itself."""
    assert is_contended(evidence) is contended
