from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.records.index import query, rebuild
from harness.records.index.refresh import Index
from harness.records.index.stamps import Listing, files, is_known, listing, newest_ns
from harness.records.store import Store

VALUE = "SELECT value FROM metrics"
SECOND_NS = 10**9


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A file system that counts in whole seconds: every stamp is that of `clock[0]`."""
    now = [5 * SECOND_NS]

    def coarse(store: Store, sweep: str) -> Listing:
        # The size is the file's own; both times are the last tick's at the record's writing.
        return {
            folder: "".join(
                f"{stamp.split(' ', 1)[0]} {written[0]} {written[0]} {stamp.split(' ', 3)[3]}\0"
                for stamp in stamps.split("\0")[:-1]
            )
            for folder, stamps in listing(store, sweep).items()
        }

    written = [5 * SECOND_NS]
    monkeypatch.setattr("harness.records.index.queries.listing", coarse)
    monkeypatch.setattr(Index, "_now_ns", lambda _self: now[0])
    return now


def test_two_writes_within_one_tick_are_both_seen(store: Store, make_record: Any, clock: list[int]) -> None:
    """The second has the size and the times of the first: what was read so soon is looked at again."""
    path = store.write(make_record({"throughput.samples": 1.5}))
    assert query(store, VALUE).rows == ((1.5,),)
    path.write_bytes(path.read_bytes().replace(b"1.5", b"2.5"))
    clock[0] += SECOND_NS
    assert query(store, VALUE).rows == ((2.5,),)


def test_a_record_that_is_old_enough_is_not_read_again(
    store: Store, make_record: Any, clock: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its digest was found unchanged after the tick, its stamp is enough."""
    store.write(make_record({"throughput.samples": 1.5}))
    query(store, VALUE)
    clock[0] += 4 * SECOND_NS
    query(store, VALUE)
    monkeypatch.setattr("harness.records.index.refresh.digests", lambda *_: pytest.fail("read again"))
    monkeypatch.setattr(Store, "read_at", lambda *_: pytest.fail("read again"))
    assert query(store, VALUE).rows == ((1.5,),)


def test_a_clock_that_goes_back_hides_nothing(store: Store, make_record: Any, clock: list[int]) -> None:
    """What seems to come from the future is looked at again until its time has come."""
    path = store.write(make_record({"throughput.samples": 1.5}))
    clock[0] -= 4 * SECOND_NS
    assert query(store, VALUE).rows == ((1.5,),)
    path.write_bytes(path.read_bytes().replace(b"1.5", b"2.5"))
    assert query(store, VALUE).rows == ((2.5,),)


def test_a_folder_that_goes_while_it_is_read_is_no_error(
    store: Store, make_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was listed, and is gone when its record is opened: it has no row."""
    gone = store.write(make_record({"throughput.samples": 1.5}, trial_id="0" * 16)).parents[1]
    store.write(make_record({"throughput.samples": 1.5}, trial_id="1" * 16))
    inner = Store.read_at

    def read_at(self: Store, path: str, ours: Any, reader: Any) -> Any:
        shutil.rmtree(gone, ignore_errors=True)
        return inner(self, path, ours, reader)

    monkeypatch.setattr(Store, "read_at", read_at)
    assert rebuild(store) == {"records": 1, "metrics": 1, "trials": 1, "torn": 1}
    assert rebuild(store)["torn"] == 0


def test_names_that_are_no_text_are_listed_and_reported(store: Store, make_record: Any) -> None:
    """A folder's name may be any bytes, line ends and blanks among them."""
    good = store.write(make_record())
    for name in (b"r\xff\xfe", b"a b\n- 1"):
        odd = os.fsencode(good.parents[1]) + b"/" + name
        os.mkdir(odd)  # noqa: PTH102 - no Path holds every name
        shutil.copy(good, Path(os.fsdecode(odd)) / "record.json")
    (stamps,) = listing(store, "demo").values()
    assert files(stamps) == 3
    for _ in range(2):
        assert query(store, "SELECT count(*) FROM records").rows == ((1,),)
    assert rebuild(store)["torn"] == 2


def test_what_stamps_say() -> None:
    """The newest time of any file, and whether every file could be looked at."""
    stamps = "10 5 7 a/record.json\x0011 9 2 b -1 0/record.json\0"
    assert newest_ns(stamps) == 9
    assert is_known(stamps)
    assert not is_known(stamps + "-1 0 0 c\0")
    assert not is_known("-1 0 0 c\0" + stamps)
