from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.records.codec import parse
from harness.records.estimates import trial_results
from harness.records.index import read_records, read_results
from harness.records.schema import Metric
from harness.records.store import Store
from harness.system.errors import ResourceError

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


@pytest.mark.parametrize("most", [1, 100])
def test_equal_parts_of_evidence_are_one_object(
    store: Store, make_record: Any, monkeypatch: Any, most: int
) -> None:
    """As long as they are remembered; what has been forgotten is read again, and is the same."""
    monkeypatch.setattr("harness.records.index.kept._MOST_PARTS", most)
    told = [{"device": {"name": "cpu"}, "count": 2**62 + n, "none": None, "share": 0.1} for n in range(3)]
    for replica, evidence in enumerate(told):
        store.write(make_record(replica=replica, evidence=evidence))
    again = [record.evidence for record in read_records(store, "demo")[0]]
    assert again == told
    assert (again[0]["device"] is again[2]["device"]) == (most == 100)


def test_results_come_back_as_they_follow_from_the_records(store: Store, make_record: Any) -> None:
    """Estimates of real records, of several replicas, of unknown metrics and of a failure are the same."""
    for number, path in enumerate(sorted(GOLDEN.glob("*.json"))):
        store.write(parse(path.read_bytes()).model_copy(update={"sweep": "demo", "replica": number}))
    for replica, speed in enumerate((10.0, 10.5, 9.75)):
        own = {"throughput.samples": speed, "energy.sample": None, "iteration.mean": 1 / speed}
        store.write(make_record(own, replica=replica, trial_id="1" * 16))
        foreign = tuple(Metric(id=i, value=speed, unit="1", direction="none", estimator="") for i in "zya")
        store.write(make_record(replica=replica, trial_id="2" * 16).model_copy(update={"metrics": foreign}))
    store.write(make_record(status="oom", reason="no memory", trial_id="3" * 16, log_tail="killed"))
    again, _ = read_results(store, "demo")
    direct = trial_results(store.records("demo")[0])
    assert again == direct
    assert [list(r.estimates) for r in again] == [list(r.estimates) for r in direct]
    assert [r.records[-1].log_tail for r in again] == [r.records[-1].log_tail for r in direct]


def test_a_file_that_changes_while_it_is_read_is_said_in_one_line(store: Store, make_record: Any) -> None:
    """What the index leaves in the file is never taken from another record than the one that was listed."""
    path = store.write(make_record(log_tail="first"))
    (record,), _ = read_records(store, "demo")
    path.write_text(path.read_text().replace("first", "other"))
    with pytest.raises(ResourceError, match="changed while it was read"):
        assert record.log_tail


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
