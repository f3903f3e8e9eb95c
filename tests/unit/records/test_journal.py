"""The journal: what it keeps is what was written here, whatever else lies in a results folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from harness.records.codec import serialise
from harness.records.journal import Journal, users_journal
from harness.records.store import Store, StoreError, open_store
from harness.system.errors import ResourceError


@pytest.fixture
def mine(tmp_path: Path) -> Store:
    """Return a store with a journal that no other test writes."""
    return open_store(tmp_path / "results", Journal(tmp_path / "journal"))


def test_what_a_store_wrote_is_told_from_what_was_copied(mine: Store, make_record: Any) -> None:
    """Also where both lie under one machine's id, and where the folder has moved."""
    mine.write(make_record())
    copied = mine.attempt_dir("demo", "c" * 64, "b" * 64, 1, 0)
    copied.mkdir(parents=True)
    (copied / "record.json").write_bytes(serialise(make_record(replica=1)))
    assert [(r.replica, r.merged) for r in mine.records("demo")[0]] == [(0, False), (1, True)]
    mine.root.rename(moved := mine.root.with_name("moved"))
    assert [r.merged for r in open_store(moved, mine.journal).records()[0]] == [False, True]


def test_a_changed_record_of_ours_is_no_longer_ours(mine: Store, make_record: Any) -> None:
    """The journal keeps digests, not names."""
    path = mine.write(make_record())
    path.write_bytes(path.read_bytes().replace(b"gpt tiny", b"gpt huge"))
    assert [r.merged for r in mine.records("demo")[0]] == [True]


def test_another_user_or_a_lost_journal_has_written_nothing(
    mine: Store, make_record: Any, tmp_path: Path
) -> None:
    """What is added to it counts again."""
    mine.write(make_record())
    other = open_store(mine.root, Journal(tmp_path / "other"))
    (record,) = other.records("demo")[0]
    assert record.merged
    other.journal.add("demo", [record.sha256])
    assert not other.records("demo")[0][0].merged
    assert other.journal.digests("another") == frozenset()


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path) -> None:
    """As a loss of power leaves it; the next line of the same process stands by itself."""
    journal = Journal(tmp_path)
    journal.add("demo", ["a" * 64])
    (file,) = (tmp_path / "demo").iterdir()
    with file.open("ab") as out:
        out.write(b"\n" + b"b" * 30)
    journal.add("demo", ["c" * 64])
    assert journal.digests("demo") == {"a" * 64, "c" * 64}


def test_processes_write_beside_each_other(tmp_path: Path) -> None:
    """Each has a file of its own, so that a shared home folder needs no lock."""
    one, other = Journal(tmp_path), Journal(tmp_path)
    one.add("demo", ["a" * 64])
    other.add("demo", ["b" * 64])
    assert len(list((tmp_path / "demo").iterdir())) == 2
    assert one.digests("demo") == other.digests("demo") == {"a" * 64, "b" * 64}


def test_without_a_journal_nothing_is_measured(
    tmp_path: Path, make_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run asks before its first trial; reading goes on, and counts nothing as written here."""
    (tmp_path / "file").write_text("")
    for journal in (Journal(None), Journal(tmp_path / "file" / "journal")):
        with pytest.raises(ResourceError, match=r"measured here.*XDG_STATE_HOME"):
            open_store(tmp_path / "results", journal).check_writable()
    assert open_store(tmp_path / "results", Journal(None)).records() == ([], [])

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = open_store(tmp_path / "results", Journal(tmp_path / "journal"))
    monkeypatch.setattr(Journal, "add", full)
    with pytest.raises(StoreError, match="full"):
        store.write(make_record())
    assert not list((tmp_path / "results").rglob("*.json*")), "no record without its line"


def test_where_the_users_journal_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Below XDG_STATE_HOME, else in the home folder; a path that is not absolute is passed over."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for named, below in ((str(tmp_path / "state"), "state"), ("state", "home"), ("", "home")):
        monkeypatch.setenv("XDG_STATE_HOME", named)
        users_journal().add("demo", ["a" * 64])
        assert list((tmp_path / below).rglob("*.sha256"))
