"""Records back from the index, equal to those that their files hold, where reading each file takes long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import from_json

from harness.records.index.refresh import Index, connect, listing, refreshed
from harness.records.index.segment import Segment
from harness.records.index.tables import FACTS, FILES, quoted, relation
from harness.records.schema import Facts, Metric, Record, Seal, WorkerFacts
from harness.records.store import Store, UnreadableRecord
from harness.system.collector import uncollected

if TYPE_CHECKING:
    import duckdb

MANY = 1000
"""Fewer records than these are read one by one: that needs no index."""
_APART = {"record", "rest", "sha256", "merged"}
_COLUMNS = tuple(n for n in FILES["records"] if n in Record.model_fields or n in _APART)
_OF_KIND = ("id", "unit", "direction", "estimator", "provenance", "ci_level", "semantics_version", "reason")
_NUMBERS = ("value", "ci_low", "ci_high", "n")


class _Rest(BaseModel):
    """What no column of its own holds."""

    series: dict[str, tuple[float, ...]]
    log_tail: str
    seal: Seal | None


def read_records(store: Store, sweep: str) -> tuple[list[Record], list[UnreadableRecord]]:
    """Return a sweep's records and what cannot be used, as `Store.records` does; from the index where many.

    Raises:
        UsageError: not a sweep's name.
    """
    listed = listing(store, sweep)
    if sum(map(len, listed.values())) < MANY:
        return store.records(sweep)
    with refreshed(store, {sweep: listed}, ("records", "metrics", "kinds")) as index, uncollected():
        records = list(_records(index, sweep))
        torn = [
            UnreadableRecord(store.root / path, reason)
            for folder in index.manifest.sweeps[sweep].values()
            for path, reason in folder.torn
        ]
    records.sort(key=lambda r: (r.machine_id, r.trial_id, f"r{r.replica:02d}-a{r.attempt:02d}"))
    return records, sorted(torn, key=lambda one: one.path.parts)


def _records(index: Index, sweep: str) -> Iterator[Record]:
    """Yield records segment by segment, equal facts as one object."""
    facts: dict[str, Facts] = {}
    wanted = {folder.entry for folder in index.manifest.sweeps[sweep].values()}
    dead = index.manifest.dead()
    with connect() as connection:
        for segment in index.manifest.segments:
            if wanted.isdisjoint(segment.entries()):
                continue
            metrics = _metrics(connection, index, segment)
            source = relation("records", index.paths("records", [segment]), dead)
            rows = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM {source} WHERE sweep = {quoted(sweep)}"
            )
            while some := rows.fetchmany(256):
                for row in some:
                    yield _record(dict(zip(_COLUMNS, row, strict=True)), metrics, facts)


def _metrics(
    connection: duckdb.DuckDBPyConnection, index: Index, segment: Segment
) -> dict[int, list[Metric]]:
    """Return the metrics of a segment's records, by the records' numbers."""
    of = {file: relation(file, index.paths(file, [segment])) for file in ("kinds", "metrics")}
    kinds = {
        number: tuple(zip(_OF_KIND, told, strict=True))
        for number, *told in connection.execute(
            f"SELECT kind, metric_id, {', '.join(_OF_KIND[1:])} FROM {of['kinds']}"
        ).fetchall()
    }
    found: dict[int, list[Metric]] = {}
    rows = connection.execute(
        f"SELECT record, kind, value, ci_low, ci_high, n FROM {of['metrics']} ORDER BY record, place"
    )
    while some := rows.fetchmany(4096):
        for record, kind, *numbers in some:
            found.setdefault(record, []).append(_metric(kinds[kind], numbers))
    return found


def _metric(kind: tuple[tuple[str, Any], ...], numbers: list[Any]) -> Metric:
    """Return a metric as it was validated before it came into the index."""
    metric = object.__new__(Metric)
    for name, value in (*kind, *zip(_NUMBERS, numbers, strict=True)):
        object.__setattr__(metric, name, value)
    return metric


def _record(row: dict[str, Any], metrics: dict[int, list[Metric]], facts: dict[str, Facts]) -> Record:
    rest = _Rest.model_validate_json(row.pop("rest"))
    sha256, merged = row.pop("sha256"), row.pop("merged")
    number, worker = row.pop("record"), row.pop("worker")
    for name in FACTS.keys() - {"worker"}:
        text = row[name]
        if name == "evidence":
            row[name] = from_json(text)
        else:
            row[name] = facts[text] if text in facts else facts.setdefault(text, from_json(text))
    record = Record.model_construct(
        **row,
        metrics=tuple(metrics.get(number, ())),
        worker=WorkerFacts.model_validate_json(worker),
        series=rest.series,
        log_tail=rest.log_tail,
        seal=rest.seal,
    )
    record._sha256, record._merged = sha256, merged  # noqa: SLF001 - as its reader found it
    return record
