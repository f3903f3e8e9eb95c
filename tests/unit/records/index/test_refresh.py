from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.records.index import query, rebuild
from harness.records.index.tables import COLUMNS, FILES
from harness.records.journal import Journal
from harness.records.store import Store, open_store

COUNT = "SELECT count(*) FROM records"


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths of the records that are read from now on."""
    seen: list[str] = []
    inner = Store.read_at

    def read_at(self: Store, path: str, ours: Any, reader: Any) -> Any:
        seen.append(path)
        return inner(self, path, ours, reader)

    monkeypatch.setattr(Store, "read_at", read_at)
    return seen


def _count(store: Store) -> int:
    return int(query(store, COUNT).rows[0][0])


def _home(store: Store) -> Path:
    (found,) = (store.root / "index").iterdir()
    return found


def _all(store: Store) -> dict[str, list[str]]:
    return {table: sorted(map(repr, query(store, f"FROM {table}").rows)) for table in COLUMNS}


def _fill(store: Store, make_record: Any, trials: int) -> None:
    for i in range(trials):
        store.write(make_record({"throughput.samples": 1.0 + i}, trial_id=f"{i:016x}"))


def test_only_the_folder_of_a_new_record_is_read(store: Store, make_record: Any, reads: list[str]) -> None:
    """One record added to many costs its trial's records, and its trial's row is derived of all of them."""
    _fill(store, make_record, 20)
    assert _count(store) == 20
    reads.clear()
    new = store.write(make_record({"throughput.samples": 4.0}, trial_id=f"{3:016x}", replica=1))
    assert query(store, "SELECT value, n, attempts FROM trials WHERE attempts > 1").rows == ((4.0, 2, 2),)
    assert sorted(reads) == [str(new.parents[1] / name / "record.json") for name in ("r00-a00", "r01-a00")]


def test_a_record_that_was_replaced_is_read_again(store: Store, make_record: Any) -> None:
    """The same size and a time that was set back do not hide other contents: the inode's time tells."""
    path = store.write(make_record({"throughput.samples": 1.5}))
    assert query(store, "SELECT value FROM metrics").rows == ((1.5,),)
    facts = path.stat()
    path.write_bytes(path.read_bytes().replace(b"1.5", b"2.5"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    assert query(store, "SELECT value FROM metrics").rows == ((2.5,),)


def test_any_change_gives_what_a_rebuild_gives(
    store: Store, make_record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records come, go, tear and heal in a seeded order: the index in small steps equals one made anew."""
    monkeypatch.setattr("harness.records.index.refresh.SEGMENT_RECORDS", 6)
    monkeypatch.setattr("harness.records.index.refresh._SMALL_SEGMENTS", 2)
    chance, paths = random.Random(7), list[Path]()
    for step in range(24):
        what = chance.choice(("add", "add", "add", "remove", "tear"))
        if what == "add" or not paths:
            trial, replica = chance.randrange(8), step
            metrics = {"throughput.samples": 1.0 + chance.random(), "power.mean": None}
            made = make_record(metrics, trial_id=f"{trial:016x}", replica=replica, sweep=f"s{trial % 2}")
            paths.append(store.write(made))
        elif what == "remove":
            shutil.rmtree(paths.pop(chance.randrange(len(paths))).parent)
        else:
            paths[chance.randrange(len(paths))].write_text("{")
        if step % 3 == 0:
            _count(store)
    shutil.copytree(store.root, tmp_path / "again", ignore=shutil.ignore_patterns("index"))
    again = open_store(tmp_path / "again")
    counts = rebuild(again)
    found = _all(store)
    assert found == _all(again)
    assert {table: len(rows) for table, rows in found.items()} == {t: counts[t] for t in COLUMNS}
    assert len(list(_home(store).glob("*.records.parquet"))) > 3
    assert counts["torn"] > 0


def test_a_file_that_was_swapped_or_cut_is_noticed(store: Store, make_record: Any, reads: list[str]) -> None:
    """Each file of a segment, put there from another state of the records, is left out, and its part read."""
    other = open_store(store.root.with_name("other"))
    for one, value in ((store, 1.0), (other, 9.0)):
        for i in range(3):
            one.write(make_record({"throughput.samples": value + i / 7}, trial_id=f"{i:016x}"))
        rebuild(one)
    truth = _all(store)
    for number, file in enumerate(FILES):
        shutil.rmtree(store.root / "index")
        rebuild(store)
        (path,), (forged,) = (_home(one).glob(f"*.{file}.parquet") for one in (store, other))
        path.write_bytes(forged.read_bytes() if number % 2 else path.read_bytes()[:-9])
        reads.clear()
        assert _all(store) == truth
        assert len(reads) == 3


def test_a_list_that_another_user_wrote_counts_for_nothing(
    store: Store, make_record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    """An index that came with a folder, or was rewritten to vouch for itself, is not believed."""
    _fill(store, make_record, 3)
    truth = _all(store)
    mine = _home(store)
    manifest = mine / "manifest.json"
    code, _, body = manifest.read_bytes().partition(b"\n")
    manifest.write_bytes(code + b"\n" + body.replace(b'"rows":', b'"rows":1'))
    reads.clear()
    assert _all(store) == truth
    assert len(reads) == 3
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "stranger"))
    reads.clear()
    assert _all(store) == truth
    assert len(reads) == 3
    assert len(list((store.root / "index").iterdir())) == 2


def test_without_a_key_every_query_reads_the_records(
    store: Store, make_record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no cache folder can be made there is no index to keep, and answers are the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    _fill(store, make_record, 2)
    assert _count(store) == 2
    assert not (store.root / "index").exists()
    with pytest.raises(OSError, match="no key"):
        rebuild(store)


def test_two_writers_do_no_harm(store: Store, make_record: Any) -> None:
    """Queries at once, while records come, all answer; what they leave is whole."""
    _fill(store, make_record, 5)
    answers: list[int] = []

    def ask() -> None:
        answers.extend(_count(store) for _ in range(4))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(5, 9):
        store.write(make_record(trial_id=f"{i:016x}"))
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert all(5 <= answer <= 9 for answer in answers)
    assert _count(store) == 9


def test_files_that_nothing_names_go_after_a_while(store: Store, make_record: Any) -> None:
    """What a killed writer left is removed by the next one, but not while it may still be written."""
    _fill(store, make_record, 1)
    _count(store)
    old, new = (_home(store) / f"{'0' * 15}{i}.records.parquet" for i in range(2))
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    store.write(make_record(trial_id="f" * 16))
    _count(store)
    assert (old.exists(), new.exists()) == (False, True)


def test_what_the_journal_says_is_followed(store: Store, make_record: Any, tmp_path: Path) -> None:
    """A record that is adopted, with no change of its file, is no merged one any more."""
    shutil.copytree(store.write(make_record()).parents[3], tmp_path / "other" / "demo")
    other = open_store(tmp_path / "other", Journal(tmp_path / "journal"))
    merged = "SELECT merged FROM records UNION ALL SELECT DISTINCT merged FROM trials"
    assert query(other, merged).rows == ((True,), (True,))
    other.journal.add("demo", [record.sha256 for record in other.records()[0]])
    assert query(other, merged).rows == ((False,), (False,))
