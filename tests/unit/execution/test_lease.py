"""The lease of a block: the copy that started last holds it, and no other run goes on beside it."""

from __future__ import annotations

import os

import pytest

from harness.execution.lease import Lease, LeaseLostError, live_blocks, require_no_lease
from harness.system.allocation import Allocation
from harness.system.inside import OutsideError
from harness.system.locks import SweepBusyError

FIRST, SECOND = (Allocation("slurm", "7_2", node, restarts) for node, restarts in (("n1", 0), ("n2", 1)))


@pytest.fixture
def folder(tmp_path):
    """Return a sweep's folder."""
    (tmp_path / "sweep").mkdir()
    return tmp_path / "sweep"


def aged(path, seconds):
    """Make a file as old as this."""
    told = path.stat()
    os.utime(path, (told.st_atime - seconds, told.st_mtime - seconds))


def test_a_lease_is_there_while_it_is_held(folder):
    """Status reads the node from it, and its end leaves nothing."""
    with Lease(folder, "2/8", FIRST):
        assert live_blocks(folder) == {"2/8": "n1"}
    assert live_blocks(folder) == {}
    assert list((folder / "leases").iterdir()) == []


def test_the_second_copy_takes_the_lease_and_the_first_leaves(folder):
    """Each ends by itself, whatever the order, and the second one's lease stays."""
    first, second = Lease(folder, "2/8", FIRST, renewed_s=0), Lease(folder, "2/8", SECOND, renewed_s=0)
    with first:
        first.require()
        with second:
            first.renew()
            second.require()
            with pytest.raises(LeaseLostError, match="as job 7_2 on n2"):
                first.require()
            assert live_blocks(folder) == {"2/8": "n2"}
        with pytest.raises(LeaseLostError):
            first.require()


def test_a_copy_that_took_it_and_ended_is_noticed_too(folder):
    """Between two looks of the first copy the second may come and go."""
    first = Lease(folder, "2/8", FIRST)
    with first:
        with Lease(folder, "2/8", SECOND):
            pass
        with pytest.raises(LeaseLostError, match="by a copy that has ended"):
            first.require()


def test_a_lease_is_renewed_no_more_often_than_it_must(folder):
    """A thousand blocks share one file server."""
    seconds = [100.0]
    lease = Lease(folder, "1/1", FIRST, renewed_s=15, now_s=lambda: seconds[0])
    with lease:
        aged(lease.path, 30)
        before = lease.path.stat().st_mtime
        seconds[0] += 14
        lease.renew()
        assert lease.path.stat().st_mtime == before
        seconds[0] += 1
        lease.renew()
        assert lease.path.stat().st_mtime > before + 25


def test_the_whole_sweep_does_not_run_beside_a_block_that_renews(folder):
    """It is told by which job, on which node."""
    notes = []
    with Lease(folder, "2/8", FIRST) as lease:
        aged(lease.path, 20)
        with pytest.raises(SweepBusyError, match="block 2-of-8 of this sweep is running, as job 7_2 on n1"):
            require_no_lease(folder, notes.append, tick=lambda: os.utime(lease.path))
    assert len(notes) == 1


def test_a_lease_that_nobody_renews_expires(folder):
    """Its holder was killed; its file is no reason to wait longer."""
    ticks = []
    with Lease(folder, "2/8", FIRST) as lease:
        aged(lease.path, 20)

        def tick():
            ticks.append(0)
            aged(lease.path, 25)

        require_no_lease(folder, lambda _text: None, tick=tick)
        assert len(ticks) == 2
        assert live_blocks(folder) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": 3}', b"x" * 5000])
def test_a_lease_that_is_none_stops_nothing_for_ever(folder, content):
    """Whatever a stranger left there, it expires."""
    (folder / "leases").mkdir()
    path = folder / "leases" / "block-1-of-2.json"
    path.write_bytes(content)
    assert live_blocks(folder) == {}
    require_no_lease(folder, lambda _text: None, tick=lambda: aged(path, 30))


def test_nothing_is_written_through_a_link(folder, tmp_path):
    """A folder of leases that leads out of the sweep is refused."""
    (tmp_path / "elsewhere").mkdir()
    (folder / "leases").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutsideError), Lease(folder.parent / "sweep", "1/2", FIRST):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_lease_is_looked_for_outside(folder, tmp_path):
    """Who looks for one asks the file system for its time, and so writes; through a link nobody does."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "block-1-of-2.json").write_text("{}")
    (folder / "leases").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutsideError):
        live_blocks(folder)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["block-1-of-2.json"]


def test_a_lease_of_the_future_holds_nothing(folder):
    """Nobody would live to see it expire."""
    with Lease(folder, "2/8", FIRST) as lease:
        aged(lease.path, -1e9)
        assert live_blocks(folder) == {}
        require_no_lease(folder, lambda _text: None, tick=lambda: pytest.fail("waited for it"))


def test_the_node_of_a_lease_is_a_short_text(folder):
    """Whatever a stranger wrote there."""
    (folder / "leases").mkdir()
    (folder / "leases" / "block-1-of-2.json").write_text('{"token": "t", "block": "1/2", "node": ["n", {}]}')
    assert live_blocks(folder) == {"1/2": "['n', {}]"}
