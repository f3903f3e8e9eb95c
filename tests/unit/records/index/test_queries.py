from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.records.index import Table, query, rebuild
from harness.records.index.tables import COLUMNS, FILES
from harness.records.store import Store


def _manifest(store: Store) -> Path:
    (found,) = (store.root / "index").glob("*/manifest.json")
    return found


def _files(store: Store) -> list[Path]:
    return sorted(_manifest(store).parent.iterdir())


def _one(table: Table) -> Any:
    ((value,),) = table.rows
    return value


def test_many_records_become_three_tables(
    store: Store, make_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt, metric and estimate is a row, and sums over them come out exact."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    for i in range(300):
        store.write(
            make_record(
                {"throughput.samples": 1.0 + i % 2, "power.mean": None},
                trial_id=f"{i // 2:064x}",
                replica=i % 2,
                series={"loss": tuple(range(i % 7))},
            )
        )
    assert rebuild(store) == {"records": 300, "metrics": 600, "trials": 300, "torn": 0}
    assert {p.name.partition(".")[2] for p in _files(store)} == {"json", *(f"{f}.parquet" for f in FILES)}
    assert _one(query(store, "SELECT count(*) FROM records")) == 300
    assert (
        _one(query(store, "SELECT sum(value) FROM metrics WHERE metric_id = 'throughput.samples'")) == 450.0
    )
    assert _one(query(store, "SELECT count(*) FROM metrics WHERE validity = 'unavailable'")) == 300
    means = query(store, "SELECT DISTINCT round(value, 9), n FROM trials WHERE value IS NOT NULL")
    assert means.rows == ((round(2**0.5, 9), 2),)


def test_no_column_is_lost_when_records_differ(store: Store, make_record: Any) -> None:
    """Columns are declared, so a first record without facts drops none of a later one's."""
    store.write(make_record(replica=0, status="refused", phase="plan", reason="no such device", machine={}))
    store.write(make_record({"mfu": 0.5}, replica=1, machine={"accelerator": {"name": "H200"}}))
    for table, columns in COLUMNS.items():
        assert query(store, f"FROM {table}").columns == tuple(columns)
    rows = query(
        store, "SELECT status, machine->'accelerator'->>'name', workload FROM records ORDER BY replica"
    )
    assert rows.rows == (("refused", None, "gpt"), ("ok", "H200", "gpt"))


def test_a_failed_trial_has_a_row_without_a_metric(store: Store, make_record: Any) -> None:
    """A trial that never worked is found by SQL with its reason."""
    store.write(make_record(status="oom", phase="build", reason="out of memory"))
    rows = query(store, "SELECT status, reason, metric_id, attempts, replicas_ok FROM trials").rows
    assert rows == (("oom", "out of memory", None, 1, 0),)


def test_missing_is_null_and_never_zero(store: Store, make_record: Any) -> None:
    """A metric without a value is NULL with its reason in every table."""
    store.write(make_record({"power.mean": None}))
    assert query(store, "SELECT value, reason FROM metrics").rows == ((None, "no sensor"),)
    assert query(store, "SELECT value, low, reasons FROM trials").rows == ((None, None, ["no sensor"]),)


def test_an_empty_store_answers(store: Store) -> None:
    """Without records the tables exist and are empty."""
    assert _one(query(store, "SELECT count(*) FROM trials")) == 0


def test_the_index_follows_the_records(store: Store, make_record: Any) -> None:
    """A new record, a removed one, and a damaged or deleted index are seen by the next query."""
    count = "SELECT count(*) FROM records"
    path = store.write(make_record())
    assert _one(query(store, count)) == 1
    store.write(make_record(replica=1))
    assert _one(query(store, count)) == 2
    path.unlink()
    assert _one(query(store, count)) == 1
    _manifest(store).write_bytes(b"torn")
    assert _one(query(store, count)) == 1
    for file in _files(store):
        file.unlink()
    assert _one(query(store, count)) == 1


def test_a_fresh_index_is_used_without_reading_records(
    store: Store, make_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second query reads Parquet only."""
    store.write(make_record())
    query(store, "FROM records")
    monkeypatch.setattr(Store, "read_at", lambda *_: pytest.fail("the records were read again"))
    assert _one(query(store, "SELECT count(*) FROM records")) == 1


def test_new_rules_judge_old_records_again(
    store: Store, make_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index judged by other rules is stale."""
    store.write(make_record())
    query(store, "FROM records")
    before = _manifest(store).read_bytes()
    query(store, "FROM records")
    assert _manifest(store).read_bytes() == before
    monkeypatch.setattr("harness.records.index.manifest.RULES_VERSION", -1)
    query(store, "FROM records")
    assert _manifest(store).read_bytes() != before


def test_a_torn_record_is_reported_and_hides_no_other(store: Store, make_record: Any) -> None:
    """The rebuild counts what it left out; the rest is in the tables."""
    store.write(make_record(replica=1))
    path = store.write(make_record())
    path.write_bytes(path.read_bytes()[:50])
    assert rebuild(store)["torn"] == 1
    assert _one(query(store, "SELECT count(*) FROM records")) == 1


def test_hostile_text_is_only_text(store: Store, make_record: Any) -> None:
    """Quotes, line ends, NUL and SQL in a record's strings come back as they were."""
    label = "x'); DROP TABLE records; --\n\0\"{}"
    store.write(make_record(label=label, evidence={label: label}))
    assert query(store, "SELECT label FROM records").rows == ((label,),)


def test_an_archive_that_cannot_be_written_still_answers(
    store: Store, make_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only mount a query derives the tables in memory; only an explicit rebuild fails."""
    store.write(make_record())

    make = Path.mkdir

    def refuse(self: Path, *arguments: Any, **keywords: Any) -> None:
        if self.is_relative_to(store.root):
            raise OSError(30, "Read-only file system")
        make(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert _one(query(store, "SELECT count(*) FROM records")) == 1
    with pytest.raises(OSError, match="Read-only"):
        rebuild(store)


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "",
        "SELECT 1; SELECT 2",
        "DROP TABLE records",
        "COPY records TO '{out}'",
        "ATTACH '{out}'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "CREATE TABLE t AS SELECT 1",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM store",
        "SELECT * FROM records WHERE replica = ?",
    ],
)
def test_a_query_only_reads_its_tables(store: Store, make_record: Any, tmp_path: Path, sql: str) -> None:
    """Wrong SQL, writing, settings, files and this process's variables are one line of ValueError."""
    store.write(make_record())
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r".") as caught:
        query(store, sql.replace("{out}", str(out)))
    assert "\n" not in str(caught.value)
    assert not out.exists()
