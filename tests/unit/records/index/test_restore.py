from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.records.codec import parse
from harness.records.index import read_records
from harness.records.store import Store

GOLDEN = Path(__file__).parents[3] / "golden" / "records"


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.records.index.restore.MANY", 0)


def test_records_come_back_as_their_files_hold_them(store: Store, make_record: Any) -> None:
    """Real records of every kind are equal to those read one by one, to the byte and with their digests."""
    for number, path in enumerate(sorted(GOLDEN.glob("*.json"))):
        record = parse(path.read_bytes())
        for attempt in (0, 10):
            place = {"sweep": "demo", "replica": number, "attempt": attempt}
            store.write(record.model_copy(update=place))
    store.write(make_record({}, label="x'\0\n\"é", replica=100, series={"loss": (1.0, 2.5e-9)}))
    again, _ = read_records(store, "demo")
    direct, _ = store.records("demo")
    assert again == direct
    assert [(r.sha256, r.merged, r.model_dump_json()) for r in again] == [
        (r.sha256, r.merged, r.model_dump_json()) for r in direct
    ]


def test_what_cannot_be_used_is_told_in_the_same_words(store: Store, make_record: Any) -> None:
    """A torn, a misplaced and a linked record and one too high up, in the order of their paths."""
    good = store.write(make_record())
    for replica, text in ((1, "{"), (2, good.read_text())):
        store.write(make_record(replica=replica)).write_text(text)
    (good.parents[3] / "record.json").write_text("{}")
    (good.parents[1] / "r07-a00").symlink_to(good.parent)
    (good.parents[2] / ("f" * 16)).symlink_to(good.parents[1])
    assert read_records(store, "demo") == store.records("demo")
    assert len(read_records(store, "demo")[1]) == 5


def test_one_sweep_is_read_beside_others(store: Store, make_record: Any, monkeypatch: Any) -> None:
    """Reading one sweep leaves what is known of another as it was."""
    for sweep in ("a", "b"):
        store.write(make_record(sweep=sweep))
        assert [r.sweep for r in read_records(store, sweep)[0]] == [sweep]
    monkeypatch.setattr(Store, "read_at", lambda *_: pytest.fail("read again"))
    assert [r.sweep for s in "ab" for r in read_records(store, s)[0]] == ["a", "b"]


def test_few_records_need_no_index(store: Store, make_record: Any, monkeypatch: Any) -> None:
    """Below the bound records are read as before, and nothing is written."""
    monkeypatch.setattr("harness.records.index.restore.MANY", 2)
    record = make_record()
    store.write(record)
    assert read_records(store, "demo") == ([record], [])
    assert not (store.root / "index").exists()
