"""The host's clocks over a scripted folder of threads."""

from pathlib import Path

import pytest

from harness.timing.clocks import TEAM_LIMIT, HostClock


@pytest.fixture
def tasks(tmp_path):
    """Two threads, which ran 10 and 20 ns and waited 300 and 4,000."""
    for thread, waited in (("7", 300), ("8", 4000)):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(f"10 {waited} 5\n")
    return tmp_path


def open_files():
    """Count this process's open files."""
    return len([*Path("/proc/self/fd").iterdir()])


def test_the_delay_is_summed_over_the_threads_and_read_anew(tasks):
    """The second number of each; a thread that begins later is not watched."""
    clock = HostClock(tasks)
    with clock.watching():
        assert clock.waited_ns() == 4300
        (tasks / "7" / "schedstat").write_text("11 900 6\n")
        (tasks / "9").mkdir()
        (tasks / "9" / "schedstat").write_text("1 1000000 1\n")
        assert clock.waited_ns() == 4900


def test_nothing_is_watched_before_and_after(tasks):
    """Unknown, not 0; and the files are closed."""
    clock = HostClock(tasks)
    assert clock.waited_ns() is None
    before = open_files()
    with clock.watching():
        assert open_files() == before + 2
    assert clock.waited_ns() is None
    assert open_files() == before


def test_a_large_team_is_not_watched(tasks):
    """Its readings would cost more than they tell."""
    for thread in range(100, 100 + TEAM_LIMIT - 1):
        (tasks / str(thread)).mkdir()
        (tasks / str(thread) / "schedstat").write_text("1 1 1\n")
    clock = HostClock(tasks)
    with clock.watching():
        assert clock.waited_ns() is None


def test_a_kernel_that_does_not_tell_leaves_the_delay_unknown(tmp_path):
    """No such folder."""
    clock = HostClock(tmp_path / "absent")
    with clock.watching():
        assert clock.waited_ns() is None


def test_the_clocks_of_this_thread_go_on():
    """Time and CPU time never fall, and switches are counted."""
    clock = HostClock()
    first = (clock.now_ns(), clock.cpu_ns(), clock.involuntary())
    sum(range(10_000))
    second = (clock.now_ns(), clock.cpu_ns(), clock.involuntary())
    assert all(b >= a for a, b in zip(first, second, strict=True))
    assert second[0] > first[0]
