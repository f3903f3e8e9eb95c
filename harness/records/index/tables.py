"""What the index holds: the tables that a query sees, and how they lie in the files of a segment.

A segment's files hold what repeats once: a metric's unit, estimator, verdict and the like make one row of
`kinds`, and numbers name it. Every number that a row is known by is unique in the whole index.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.results import CONFIG_COLUMNS

IDENTITY = dict.fromkeys(("sweep", "work_id", "trial_id", "machine_id", "code_id", "label"), "VARCHAR")
ATTEMPT = {"replica": "INTEGER", "attempt": "INTEGER"}
OUTCOME = {"status": "VARCHAR", "phase": "VARCHAR", "reason": "VARCHAR"}
FACTS = dict.fromkeys(("config", "machine", "code", "evidence", "worker"), "JSON")
_NUMBER = {"metric_id": "VARCHAR", "value": "DOUBLE", "unit": "VARCHAR", "direction": "VARCHAR"}
_TRUST = {"estimator": "VARCHAR", "provenance": "VARCHAR", "validity": "VARCHAR", "reasons": "VARCHAR[]"}
_CONFIG = dict.fromkeys(CONFIG_COLUMNS, "VARCHAR")
COLUMNS: dict[str, dict[str, str]] = {
    "records": {
        **IDENTITY,
        **ATTEMPT,
        **OUTCOME,
        **_CONFIG,
        "merged": "BOOLEAN",
        "schema_version": "BIGINT",
        "round_order": "BIGINT",
        "started_at": "VARCHAR",
        "wall_s": "DOUBLE",
        **FACTS,
    },
    "metrics": {
        **IDENTITY,
        **ATTEMPT,
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
        **IDENTITY,
        **_CONFIG,
        **OUTCOME,
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

_KIND = {
    **dict.fromkeys(("metric_id", "unit", "direction", "estimator", "provenance"), "VARCHAR"),
    "ci_level": "DOUBLE",
    "semantics_version": "BIGINT",
    "reason": "VARCHAR",
    "title": "VARCHAR",
    "validity": "VARCHAR",
    "reasons": "VARCHAR[]",
}
FILES: dict[str, dict[str, str]] = {
    "records": {
        "entry": "BIGINT",
        "record": "BIGINT",
        **COLUMNS["records"],
        **dict.fromkeys(FACTS, "VARCHAR"),
        "seal": "VARCHAR",
        "sha256": "VARCHAR",
    },
    "metrics": {
        "record": "BIGINT",
        "kind": "BIGINT",
        "place": "INTEGER",
        "value": "DOUBLE",
        "ci_low": "DOUBLE",
        "ci_high": "DOUBLE",
        "n": "BIGINT",
    },
    "trials": {
        "entry": "BIGINT",
        "trial": "BIGINT",
        **{name: kind for name, kind in COLUMNS["trials"].items() if name in {*IDENTITY, *_CONFIG, *OUTCOME}},
        "merged": "BOOLEAN",
        "attempts": "INTEGER",
        "replicas_ok": "INTEGER",
    },
    "estimates": {
        "trial": "BIGINT",
        "kind": "BIGINT",
        "value": "DOUBLE",
        "low": "DOUBLE",
        "high": "DOUBLE",
        "level": "DOUBLE",
        "n": "INTEGER",
    },
    "kinds": {"kind": "BIGINT", **_KIND},
}
"""The files of a segment by name, with their columns. An entry is one trial's folder, read at one time."""
KIND = tuple(_KIND)

_SOURCES = {
    "records": ("{records} r", {"r": "records"}),
    "metrics": (
        "{metrics} m JOIN {records} r USING (record) JOIN {kinds} k USING (kind)",
        {"m": "metrics", "k": "kinds", "r": "records"},
    ),
    "trials": (
        "{trials} t LEFT JOIN ({estimates} e JOIN {kinds} k USING (kind)) USING (trial)",
        {"t": "trials", "e": "estimates", "k": "kinds"},
    ),
}
"""Each table's files, joined; a column is the first file's that has it."""
NEEDS = {table: tuple(aliases.values()) for table, (_, aliases) in _SOURCES.items()}
"""The files behind each table."""


def view(table: str, files: dict[str, str]) -> str:
    """Return the query that makes a table of the files behind it, each given as a relation of SQL."""
    source, aliases = _SOURCES[table]
    columns = []
    for name, kind in COLUMNS[table].items():
        alias = next(alias for alias, file in aliases.items() if name in FILES[file])
        columns.append(f"{alias}.{name}::{kind} AS {name}" if kind == "JSON" else f"{alias}.{name}")
    return f"SELECT {', '.join(columns)} FROM {source.format(**files)}"


def relation(file: str, paths: Sequence[str], dead: Sequence[int] = ()) -> str:
    """Return one file of several segments as a relation, without the rows of dead entries."""
    where = f" WHERE entry NOT IN ({', '.join(map(str, dead))})" if dead and "entry" in FILES[file] else ""
    return f"(SELECT * FROM read_parquet([{', '.join(map(quoted, paths))}]){where})"


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
