"""The index: three Parquet tables derived from the records, which can be deleted and are rebuilt when stale.

Records are validated one by one and handed to an in-memory DuckDB as JSON lines with declared columns, so
that one torn file hides no other and no column is lost; DuckDB's own file format admits only one process.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records.codec import MAX_RECORD_BYTES
from harness.records.estimates import trial_results
from harness.records.results import CONFIG_COLUMNS, TrialResult, config_columns
from harness.records.schema import Record
from harness.records.validity import RULES_VERSION, judge
from harness.system.errors import ResourceError, UsageError, access_to
from harness.system.inside import require_inside

if TYPE_CHECKING:
    import duckdb

    from harness.records.store import Store

INDEX_VERSION = 2
"""Raise it when a table's columns change."""
_IDENTITY = dict.fromkeys(("sweep", "work_id", "trial_id", "machine_id", "code_id", "label"), "VARCHAR")
_ATTEMPT = {"replica": "INTEGER", "attempt": "INTEGER"}
_OUTCOME = {"status": "VARCHAR", "phase": "VARCHAR", "reason": "VARCHAR"}
_NUMBER = {"metric_id": "VARCHAR", "value": "DOUBLE", "unit": "VARCHAR", "direction": "VARCHAR"}
_TRUST = {"estimator": "VARCHAR", "provenance": "VARCHAR", "validity": "VARCHAR", "reasons": "VARCHAR[]"}
COLUMNS: dict[str, dict[str, str]] = {
    "records": {
        **_IDENTITY,
        **_ATTEMPT,
        **_OUTCOME,
        **dict.fromkeys(CONFIG_COLUMNS, "VARCHAR"),
        "merged": "BOOLEAN",
        "schema_version": "BIGINT",
        "round_order": "BIGINT",
        "started_at": "VARCHAR",
        "wall_s": "DOUBLE",
        **dict.fromkeys(("config", "machine", "code", "evidence", "worker"), "JSON"),
    },
    "metrics": {
        **_IDENTITY,
        **_ATTEMPT,
        "status": "VARCHAR",
        "merged": "BOOLEAN",
        **_NUMBER,
        "ci_low": "DOUBLE",
        "ci_high": "DOUBLE",
        "ci_level": "DOUBLE",
        "n": "BIGINT",
        "semantics_version": "BIGINT",
        "reason": "VARCHAR",
        **_TRUST,
    },
    "trials": {
        **_IDENTITY,
        **dict.fromkeys(CONFIG_COLUMNS, "VARCHAR"),
        **_OUTCOME,
        "merged": "BOOLEAN",
        "attempts": "INTEGER",
        "replicas_ok": "INTEGER",
        **_NUMBER,
        "title": "VARCHAR",
        "low": "DOUBLE",
        "high": "DOUBLE",
        "level": "DOUBLE",
        "n": "INTEGER",
        **_TRUST,
    },
}
"""The tables: an attempt a row; an attempt's metric a row; a trial's estimate a row (one without a metric for
a trial that has none)."""


@dataclass(frozen=True, slots=True)
class Table:
    """A query's answer."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def rebuild(store: Store) -> dict[str, int]:
    """Derive the index anew and write `index/*.parquet`.

    Returns:
        The rows of every table, and as `torn` the records that could not be used.

    Raises:
        OSError: the index cannot be written.
    """
    fingerprint = _fingerprint(store)
    with _connect() as connection:
        torn = _load_records(connection, store)
        _save(connection, store, fingerprint)
        counts = {table: connection.table(table).count("*").fetchall()[0][0] for table in COLUMNS}
    return counts | {"torn": torn}


def query(store: Store, sql: str) -> Table:
    """Answer one read-only query, from the index if it is fresh, else from the records.

    Raises:
        ValueError: the SQL is wrong, or asks for more than reading these tables; one line.
    """
    import duckdb

    fingerprint = _fingerprint(store)
    with _connect() as connection:
        if not _load_index(connection, store, fingerprint):
            _load_records(connection, store)
            # On a read-only archive the index only saves time: its absence changes no answer.
            with suppress(OSError):
                _save(connection, store, fingerprint)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            statements = connection.extract_statements(sql)
            reading = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
            if len(statements) != 1 or statements[0].type not in reading:
                raise UsageError("a query is one SELECT over the tables records, metrics and trials")
            cursor = connection.execute(statements[0])
            rows = tuple(cursor.fetchall())
        except duckdb.Error as error:
            raise UsageError(" ".join(str(error).split())[:500]) from error
        return Table(tuple(column[0] for column in cursor.description or ()), rows)


def _connect() -> duckdb.DuckDBPyConnection:
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # a query names tables, never this process's variables
        "temp_directory": "",
    }
    return duckdb.connect(":memory:", config=settings)


def _fingerprint(store: Store) -> str:
    digest = hashlib.sha256(f"{INDEX_VERSION} {RULES_VERSION}".encode())
    for sweep in store.sweeps():
        digest.update(store.journal.fingerprint(sweep).encode())
    for path in store.record_paths():
        facts = path.lstat()
        digest.update(f"\n{path.relative_to(store.root)} {facts.st_size} {facts.st_mtime_ns}".encode())
    return digest.hexdigest()


def _load_index(connection: duckdb.DuckDBPyConnection, store: Store, fingerprint: str) -> bool:
    import duckdb

    try:
        for table in COLUMNS:
            path = str(store.root / "index" / f"{table}.parquet")
            stamp = connection.execute(
                "SELECT decode(value) FROM parquet_kv_metadata($1) WHERE decode(key) = 'fingerprint'", [path]
            ).fetchone()
            if stamp != (fingerprint,):
                return False
            connection.execute(f"CREATE OR REPLACE TABLE {table} AS FROM read_parquet($1)", [path])
    except duckdb.Error:
        return False  # absent or damaged: it is derived again
    return True


def _load_records(connection: duckdb.DuckDBPyConnection, store: Store) -> int:
    torn = 0
    with tempfile.TemporaryDirectory(prefix="joulemark-index-") as folder, ExitStack() as stack:
        paths = {table: Path(folder, f"{table}.jsonl") for table in COLUMNS}
        files = {table: stack.enter_context(path.open("w")) for table, path in paths.items()}
        for sweep in store.sweeps():  # a sweep at a time bounds the memory
            records, unusable = store.records(sweep)
            torn += len(unusable)
            for table, row in _rows(records):
                files[table].write(json.dumps(row, allow_nan=False) + "\n")
        stack.close()
        for table, path in paths.items():
            columns = json.dumps(COLUMNS[table]).replace('"', "'")
            connection.execute(
                f"CREATE OR REPLACE TABLE {table} AS FROM read_json($1, format = 'newline_delimited', "
                f"columns = {columns}, maximum_object_size = {2 * MAX_RECORD_BYTES})",
                [str(path)],
            )
    return torn


def _save(connection: duckdb.DuckDBPyConnection, store: Store, fingerprint: str) -> None:
    """Write every table with the fingerprint inside, so that two writers cannot mix tables unnoticed."""
    import duckdb

    folder = store.root / "index"
    require_inside(store.root, folder)
    with access_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as scratch:
            options = f"(FORMAT parquet, KV_METADATA {{fingerprint: '{fingerprint}'}})"
            try:
                for table in COLUMNS:
                    connection.execute(f"COPY {table} TO '{_quoted(scratch)}/{table}.parquet' {options}")
            except duckdb.IOException as error:
                raise ResourceError(" ".join(str(error).split())) from error
            for table in COLUMNS:
                Path(scratch, f"{table}.parquet").rename(folder / f"{table}.parquet")


def _quoted(path: str) -> str:
    return path.replace("'", "''")


def _rows(records: list[Record]) -> Iterator[tuple[str, dict[str, Any]]]:
    for record in records:
        yield "records", _record_row(record)
        verdicts = judge(record)
        for metric in record.metrics:
            validity, reasons = verdicts[metric.id]
            yield (
                "metrics",
                {
                    **_identity(record),
                    **{name: getattr(record, name) for name in (*_ATTEMPT, "status", "merged")},
                    **{k: v for k, v in asdict(metric).items() if k != "id"},
                    "metric_id": metric.id,
                    "validity": validity,
                    "reasons": reasons,
                },
            )
    for trial in trial_results(records):
        yield from (("trials", row) for row in _trial_rows(trial))


def _record_row(record: Record) -> dict[str, Any]:
    left_out = {"metrics", "series", "log_tail"}
    told = record.model_dump(mode="json", exclude=left_out) | config_columns(record.config)
    return told | {"merged": record.merged}


def _trial_rows(trial: TrialResult) -> Iterator[dict[str, Any]]:
    common = {
        **_identity(trial),
        **config_columns(trial.config),
        **{name: getattr(trial, name) for name in (*_OUTCOME, "replicas_ok", "merged")},
        "attempts": len(trial.records),
    }
    if not trial.estimates:
        yield common
    for estimate in trial.estimates.values():
        names = [name for name in COLUMNS["trials"] if hasattr(estimate, name)]
        yield common | {name: getattr(estimate, name) for name in names}


def _identity(source: Record | TrialResult) -> dict[str, Any]:
    return {name: getattr(source, name) for name in _IDENTITY}
