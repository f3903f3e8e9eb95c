"""Records and results from the index, equal to those of the records' files, where these take long to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from harness.records.estimates import Key, trial_results
from harness.records.index.kept import OF_KIND, Held, Shelf, kept_record
from harness.records.index.refresh import Index, refreshed
from harness.records.index.segment import Segment
from harness.records.index.stamps import files, listing
from harness.records.index.tables import FILES, quoted, relation
from harness.records.metrics import METRICS
from harness.records.results import Estimate, TrialResult
from harness.records.schema import Facts, Record
from harness.records.store import Store, UnreadableRecord
from harness.system.collector import uncollected

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

MANY = 1000
"""Fewer records than these are read one by one: that needs no index."""
_SHARED = ("config", "machine", "code")
_TEXTS = ("evidence", "worker", "seal")
_APART = (*_TEXTS, "sha256", "merged", "record")
_PLAIN = tuple(n for n in FILES["records"] if n in Record.model_fields and n not in _APART)
_METRIC = ("value", "ci_low", "ci_high")
_ESTIMATE = ("value", "low", "high", "level")
_PLACE = {metric: place for place, metric in enumerate(METRICS)}


def read_records(store: Store, sweep: str) -> tuple[list[Record], list[UnreadableRecord]]:
    """Return a sweep's records and what cannot be used, as `Store.records` does; from the index where many.

    Raises:
        UsageError: not a sweep's name.
    """
    listed = listing(store, sweep)
    if sum(map(files, listed.values())) < MANY:
        return store.records(sweep)
    with _indexed(store, {sweep: listed}, ("records", "metrics", "kinds")) as index:
        return _records(index, sweep), _torn(index, sweep)


def read_results(store: Store, sweep: str) -> tuple[list[TrialResult], list[UnreadableRecord]]:
    """Return a sweep's results and what cannot be used, as `trial_results` does; from the index where many.

    Raises:
        UsageError: not a sweep's name.
    """
    listed = listing(store, sweep)
    if sum(map(files, listed.values())) < MANY:
        records, torn = store.records(sweep)
        with uncollected():
            return trial_results(records), torn
    with _indexed(store, {sweep: listed}, FILES) as index:
        known = _estimates(index, sweep)
        return trial_results(_records(index, sweep), known=known), _torn(index, sweep)


@contextmanager
def _indexed(store: Store, listings: Any, used: Any) -> Iterator[Index]:
    with refreshed(store, listings, used) as index, uncollected():
        yield index


def _torn(index: Index, sweep: str) -> list[UnreadableRecord]:
    torn = [
        UnreadableRecord(index.store.root / path, reason)
        for folder in index.manifest.sweeps[sweep].folders.values()
        for path, reason in folder.torn
    ]
    return sorted(torn, key=lambda one: one.path.parts)


def _segments(index: Index, sweep: str) -> Iterator[Segment]:
    wanted = {folder.entry for folder in index.manifest.sweeps[sweep].folders.values()}
    return (s for s in index.manifest.segments if not wanted.isdisjoint(s.entries()))


def _records(index: Index, sweep: str) -> list[Record]:
    """Return the records in the order of their paths, equal facts as one object."""
    facts: dict[str, Facts] = {}
    dead = index.manifest.dead()
    parts: dict[bytes, Any] = {}
    words: dict[str, str] = {}
    found: list[Record] = []
    for segment in _segments(index, sweep):
        source = relation("records", index.paths("records", [segment]), dead)
        rows = index.connection.execute(
            f"SELECT {', '.join((*_APART, *_PLAIN))} FROM {source} WHERE sweep = {quoted(sweep)}"
        ).fetchall()
        texts = {name: [row[i] for row in rows] for i, name in enumerate(_TEXTS)}
        shelf, places = _shelf(index, segment, texts, parts)
        for at, (_, _, _, sha256, merged, number, *plain) in enumerate(rows):
            fields = dict(
                zip(_PLAIN, [words.setdefault(w, w) if type(w) is str else w for w in plain], strict=True)
            )
            for name in _SHARED:
                text = fields[name]
                fields[name] = facts[text] if text in facts else facts.setdefault(text, from_json(text))
            start, stop = places.get(number, (0, 0))
            found.append(
                kept_record(fields, Held(shelf, at, start, stop, shelf.places(start, stop), sha256, merged))
            )
    found.sort(key=lambda r: (r.machine_id, r.trial_id, f"r{r.replica:02d}-a{r.attempt:02d}"))
    return found


def _shelf(
    index: Index,
    segment: Segment,
    texts: dict[str, list[Any]],
    parts: dict[bytes, Any],
) -> tuple[Shelf, dict[int, tuple[int, int]]]:
    """Return a segment's columns, and by a record's number where its metrics begin and end in them."""
    connection = index.connection
    told = ", ".join(("metric_id", *OF_KIND[1:]))
    kinds = relation("kinds", index.paths("kinds", [segment]))
    of_kind = {
        number: tuple(values)
        for number, *values in connection.execute(f"SELECT kind, {told} FROM {kinds}").fetchall()
    }
    columns = ", ".join(f"coalesce({name}, 'nan'::DOUBLE) AS {name}" for name in _METRIC)
    metrics = relation("metrics", index.paths("metrics", [segment]))
    held = connection.execute(
        f"SELECT record, kind, n, {columns} FROM {metrics} ORDER BY record, place"
    ).fetchnumpy()
    numbers = {name: held[name] for name in (*_METRIC, "n")}
    shelf = Shelf(index.store, texts, of_kind, held["kind"], numbers, parts)
    return shelf, _spans(held["record"])


def _spans(numbers: NDArray[Any]) -> dict[int, tuple[int, int]]:
    """Return where each number's stretch of a sorted column begins and ends."""
    import numpy as np

    found, starts = np.unique(numbers, return_index=True)
    spans = [(int(start), int(stop)) for start, stop in pairwise([*starts, len(numbers)])]
    return dict(zip(found.tolist(), spans, strict=True))


def _estimates(index: Index, sweep: str) -> dict[Key, dict[str, Estimate]]:
    """Return the estimates that were derived when the index was made, in the order of the metric table.

    Those of a trial with a metric that is in no table are left to be derived again.
    """
    import numpy as np

    found: dict[Key, dict[str, Estimate]] = {}
    connection, dead = index.connection, index.manifest.dead()
    for segment in _segments(index, sweep):
        of = {file: index.paths(file, [segment]) for file in ("trials", "estimates", "kinds")}
        keys = connection.execute(
            "SELECT trial, sweep, trial_id, machine_id, code_id, merged FROM "
            f"{relation('trials', of['trials'], dead)} WHERE sweep = {quoted(sweep)}"
        ).fetchall()
        numbers = ", ".join(f"coalesce({name}, 'nan'::DOUBLE) AS {name}" for name in _ESTIMATE)
        held = connection.execute(
            f"SELECT trial, kind, n, {numbers} FROM {relation('estimates', of['estimates'])}"
        ).fetchnumpy()
        kinds = _estimate_kinds(connection, of["kinds"])
        # A place for each row: that of its metric in the table, and before all where it is in none.
        used, of_row = np.unique(held["kind"], return_inverse=True)
        place = np.array([_PLACE.get(kinds[k].metric_id, -1) for k in used.tolist()], dtype=int)[of_row]
        order = np.lexsort((place, held["trial"]))
        spans, place = _spans(held["trial"][order]), place[order]
        rows = _estimates_of([kinds[k] for k in held["kind"][order].tolist()], held, order)
        for trial, *key in keys:
            start, stop = spans.get(trial, (0, 0))
            if start == stop or place[start] >= 0:
                found[tuple(key)] = {e.metric_id: e for e in rows[start:stop]}
    return found


def _estimates_of(
    kinds: Sequence[Estimate], held: Mapping[str, NDArray[Any]], order: NDArray[Any]
) -> list[Estimate]:
    """Return each row's estimate: its kind with the row's numbers, the kind itself where it has none."""
    n, *numbers = (_or_none(held[name][order]) for name in ("n", *_ESTIMATE))
    return [
        Estimate._make((*kind[:6], *of_row, count, *kind[-2:])) if count else kind
        for kind, count, of_row in zip(kinds, n, zip(*numbers, strict=True), strict=True)
    ]


def _or_none(column: NDArray[Any]) -> list[Any]:
    """Return a column as a list, None where there is no number."""
    import numpy as np

    found = column.astype(object)
    found[np.isnan(column)] = None
    plain: list[Any] = found.tolist()
    return plain


def _estimate_kinds(connection: duckdb.DuckDBPyConnection, paths: list[str]) -> dict[int, Estimate]:
    """Return by its number what each kind says of an estimate: one without a value."""
    names = ("metric_id", "title", "unit", "direction", "estimator", "provenance", "validity", "reasons")
    rows = connection.execute(f"SELECT kind, {', '.join(names)} FROM {relation('kinds', paths)}").fetchall()
    none: tuple[None, None, None, None] = (None, None, None, None)
    return {
        number: Estimate(
            one, title, unit, direction, how, provenance, *none, 0, validity, tuple(reasons or ())
        )
        for number, one, title, unit, direction, how, provenance, validity, reasons in rows
    }
