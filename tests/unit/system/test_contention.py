"""How busy the host was, from scripted trees of the kernel's files whose truth is known."""

import subprocess
import sys

import pytest
from standins.kernel_files import S, Tree

from harness.system import host_counters
from harness.system.contention import Contention, between, look, together
from harness.system.host_counters import read_counters


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A quiet machine."""
    return Tree(tmp_path, monkeypatch)


def span(tree, change, seconds=4.0):
    """Read, let the script change the machine, read again."""
    before = tree.read()
    tree.now += round(seconds * S)
    change()
    return between(before, tree.read())


def test_a_team_beside_one_busy_loop_each_waits_half_the_time(tree):
    """Two threads run 2 s of 4 s and wait the other 2 s; the loops have 1 CPU on average."""
    tree.thread(tree.pid, 0, 0)
    tree.thread(tree.pid + 1, 0, 0)
    tree.thread(tree.pid + 2, 9, 9)  # of the library's pool, which never wakes up in the span

    def change():
        tree.thread(tree.pid, 2, 2)
        tree.thread(tree.pid + 1, 2, 2)
        tree.process(tree.pid, 4)
        tree.stat(8, elsewhere_s=40)

    found = span(tree, change)
    assert found.threads == 2
    assert found.delay_share == pytest.approx(0.5)
    assert found.others_cpus == pytest.approx(1.0), "what runs on CPUs that are not ours is nobody's business"
    assert found.cpus_changed is False


def test_an_idle_machine_shows_none_of_it(tree):
    """All CPU time is our own: no delay, no others."""
    tree.thread(tree.pid, 0, 0)

    def change():
        tree.thread(tree.pid, 4, 0)
        tree.process(tree.pid, 4)
        tree.stat(4)

    found = span(tree, change)
    assert (found.delay_share, found.others_cpus) == (0.0, 0.0)


def test_children_living_and_ended_are_our_own(tree):
    """A child that runs 3 s and one that ended after 1 s are not somebody else's CPU time."""
    tree.thread(tree.pid, 0, 0)

    def change():
        tree.thread(tree.pid, 1, 0)
        tree.process(tree.pid, 1, ended_children=1, children=[77])
        tree.process(77, 3)
        tree.thread(77, 3, 0.5, pid=77)
        tree.stat(5)

    found = span(tree, change)
    assert found.others_cpus == pytest.approx(0.0)
    assert found.delay_share == pytest.approx(0.5 / 8), "the child's wait counts"


def test_a_container_without_schedstat_is_unknown_with_the_reason(tree):
    """No schedstat: the delay is unknown, never 0; others are known from the coarse clock."""
    found = span(tree, lambda: (tree.process(tree.pid, 4), tree.stat(6)))
    assert found.delay_share is None
    assert "schedstat" in found.evidence()["unknown"]["delay_share"]
    assert found.others_cpus == pytest.approx(0.5)


def test_an_old_kernel_without_pressure_says_so(tree):
    """No PSI: unknown with the reason."""
    found = span(tree, lambda: None)
    assert found.pressure_share is None
    assert "PSI" in found.unknown["pressure_share"]


@pytest.mark.parametrize("place", ["machine", "group"])
def test_pressure_is_the_groups_where_it_has_its_own(tree, place):
    """1 s of 4 s under pressure; the machine's own is not looked at where the group has one."""
    tree.put(tree.proc / "self" / "cgroup", "0::/work\n")
    tree.put(tree.proc / "pressure" / "cpu", "some avg10=0 total=0\nfull avg10=0 total=0\n")
    path = tree.proc / "pressure" / "cpu"
    if place == "group":
        path = tree.cgroup / "work" / "cpu.pressure"
        tree.put(path, "some avg10=0.00 total=500\n")
    found = span(tree, lambda: tree.put(path, "some avg10=9.99 total=1000500\n" if place == "group" else
                                        "some avg10=9.99 total=1000000\n"))  # fmt: skip
    assert found.pressure_share == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("cgroup", "file", "before", "after"),
    [
        ("0::/box/job\n", "box/cpu.stat",
         "usage_usec 9\nnr_periods 10\nnr_throttled 1\nthrottled_usec 100\n",
         "usage_usec 9\nnr_periods 50\nnr_throttled 21\nthrottled_usec 2000100\n"),
        ("5:cpu,cpuacct:/box\n1:name=systemd:/\n", "cpu,cpuacct/box/cpu.stat",
         "nr_periods 10\nnr_throttled 1\nthrottled_time 0\n",
         "nr_periods 50\nnr_throttled 21\nthrottled_time 2000000000\n"),
        ("7:cpu:/../outside\n", "cpu/cpu.stat",
         "nr_periods 10\nnr_throttled 1\nthrottled_time 0\n",
         "nr_periods 50\nnr_throttled 21\nthrottled_time 2000000000\n"),
    ],
    ids=["v2, the quota of a parent", "v1", "v1, a group outside this namespace"],
)  # fmt: skip
def test_a_quota_of_half_a_cpu_throttles_half_the_periods(tree, cgroup, file, before, after):
    """20 of 40 periods throttled, 2 s of it, in both versions of control groups."""
    tree.put(tree.proc / "self" / "cgroup", cgroup)
    tree.put(tree.cgroup / file, before)
    found = span(tree, lambda: tree.put(tree.cgroup / file, after))
    assert found.throttled_share == pytest.approx(0.5)
    assert found.throttled_ns == 2 * S


def test_without_a_quota_nothing_is_throttled_and_nothing_is_claimed(tree):
    """A group without periods has no quota: no share and no reason; without any group there is one."""
    tree.put(tree.cgroup / "cpu.stat", "usage_usec 9\n")
    found = span(tree, lambda: None)
    assert found.throttled_share is None
    assert "throttled_share" not in found.unknown
    (tree.cgroup / "cpu.stat").unlink()
    assert "throttled_share" in span(tree, lambda: None).unknown


def test_a_cpu_taken_offline_is_a_change(tree):
    """CPU 1 leaves within the span."""
    assert span(tree, lambda: tree.put(tree.sys / "online", "0\n")).cpus_changed is True


def test_garbage_in_the_kernels_files_is_unknown_and_ends_nothing(tree):
    """Whatever a strange kernel writes."""
    tree.put(tree.proc / "stat", "cpu0 x y\nnonsense")
    tree.put(tree.proc / "self" / "cgroup", "what\n0:")
    tree.put(tree.proc / str(tree.pid) / "stat", "")
    found = span(tree, lambda: None)
    assert found.delay_share is None
    assert found.others_cpus is None
    assert set(found.unknown) >= {"delay_share", "others_cpus"}


def test_ranks_side_by_side_are_one_team():
    """Two ranks of two threads each: delays add up, and no rank is another's disturbance."""
    one = Contention(span_ns=4 * S, threads=2, waited_ns=2 * S, own_ns=3 * S, busy_ns=8 * S, cpus=2)
    both = together([one, one])
    assert both.delay_share == pytest.approx(4 / 16)
    assert both.others_cpus == pytest.approx(0.5)
    assert together([]) is None


def test_a_real_busy_loop_is_seen(monkeypatch):
    """The real kernel's files: a loop beside us uses CPU time that is not ours."""
    if read_counters().busy_ns is None:
        pytest.skip("this kernel reports no such counters")
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "print(flush=True)\nwhile True: pass"],
                          stdout=subprocess.PIPE, start_new_session=True) as loop:  # fmt: skip
        loop.stdout.readline()
        try:
            # A child is our own; this one is somebody else's by the books.
            monkeypatch.setattr(host_counters, "descendants_of", lambda *_: [])
            found = look(0.5)
        finally:
            loop.kill()
    assert found.others_cpus > 0
