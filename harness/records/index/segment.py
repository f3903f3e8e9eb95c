"""A segment of the index: the rows of some trials, gathered column by column and written as Parquet files."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.records.estimates import trial_results
from harness.records.index.stamps import TICK_NS
from harness.records.index.tables import FACTS, FILES, KIND, quoted
from harness.records.results import CONFIG_COLUMNS, Estimate, TrialResult, Validity, config_columns
from harness.records.schema import Facts, Record
from harness.records.validity import judge
from harness.system.errors import ResourceError

if TYPE_CHECKING:
    import duckdb

_SCALARS = tuple(n for n in FILES["records"] if n not in {"entry", "record", "seal", "sha256", *FACTS})
_RECORD = tuple(n for n in _SCALARS if n in Record.model_fields)
_NUMBERS = {"BIGINT": "int64", "INTEGER": "int64", "DOUBLE": "float64"}
_told = attrgetter(
    *("id", "unit", "direction", "estimator", "provenance", "ci_level", "semantics_version", "reason")
)
_TEXTS = 64
_T = TypeVar("_T")
_SHARED = ("config", "machine", "code")
_ROW = (
    *("entry", "record", *_RECORD, *CONFIG_COLUMNS, "merged", "worker", *_SHARED),
    *("evidence", "seal", "sha256"),
)
"""The columns of `records` in the order in which a row of it is put together."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Files that are never changed once they are written."""

    token: str
    """Begins the names of its files."""
    spans: tuple[tuple[int, int], ...]
    """The entries that were written into it: from, and up to."""
    records: int
    sha256: dict[str, str | None]
    """By file."""
    seen: dict[str, list[int]] = field(default_factory=dict)
    """By file, the stamp with which its contents were found as they were written."""

    def path(self, folder: Path, file: str) -> Path:
        """Return where one of its files lies."""
        return folder / f"{self.token}.{file}.parquet"

    def entries(self) -> list[int]:
        """Return the entries that were written into it."""
        return [entry for start, stop in self.spans for entry in range(start, stop)]

    def is_whole(self, folder: Path, file: str) -> bool:
        """Tell whether one of its files is as it was written; read it only where its stamp is another."""
        path = self.path(folder, file)
        try:
            facts = path.lstat()
        except OSError:
            return False
        stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
        if self.seen.get(file) == stamp:
            return True
        if digest(path) != self.sha256[file]:
            return False
        if time.time_ns() - max(facts.st_mtime_ns, facts.st_ctime_ns) > TICK_NS:
            self.seen[file] = stamp
        return True


class Draft:
    """The columns of a segment that is being made.

    Args:
        entries: The first number that no folder has had; afterwards the one after the last used.
        rows: The same of the numbers of rows.
    """

    def __init__(self, entries: int, rows: int) -> None:
        from msgspec.json import encode  # it takes a moment to load, and a query seldom needs it

        self._encode = encode
        self._first, self.entries, self.rows = entries, entries, rows
        self.records = 0
        self._columns: dict[str, dict[str, list[Any]]] = {
            file: {name: [] for name in columns} for file, columns in FILES.items() if file != "records"
        }
        self._rows: list[tuple[Any, ...]] = []
        """Of `records`, which has many columns: one list is appended to sooner than forty."""
        self._kinds: dict[tuple[Any, ...], int] = {}
        self._shapes: dict[tuple[Any, ...], list[int]] = {}
        self._texts: dict[int, tuple[Facts, str]] = {}
        self._settings: dict[int, tuple[Facts, dict[str, str | None]]] = {}

    def add(self, records: list[Record]) -> int:
        """Take the records of one trial's folder; return the entry that they are."""
        entry = self.entries
        self.entries += 1
        verdicts = {}
        for record in records:
            verdicts[id(record)] = judged = judge(record)
            self._add_record(entry, record, judged)
        for trial in trial_results(records, judged=lambda record: verdicts[id(record)]):
            self._add_trial(entry, trial)
        return entry

    def _number(self) -> int:
        self.rows += 1
        return self.rows - 1

    def _add_record(
        self, entry: int, record: Record, judged: dict[str, tuple[Validity, tuple[str, ...]]]
    ) -> None:
        number, held = self._number(), record.__dict__
        self.records += 1
        self._rows.append(
            (
                entry,
                number,
                *[held[name] for name in _RECORD],
                *_shared(self._settings, record.config, config_columns).values(),
                record.merged,
                record.worker.model_dump_json(),
                *[_shared(self._texts, held[name], self._text) for name in _SHARED],
                self._text(record.evidence),
                record.seal and record.seal.model_dump_json(),
                record.sha256,
            )
        )
        metrics = record.metrics
        shape = (tuple(map(_told, metrics)), tuple([judged[m.id] for m in metrics]))
        kinds = self._shapes.get(shape)
        if kinds is None:
            kinds = [self._kind((*told, None, *verdict)) for told, verdict in zip(*shape, strict=True)]
            self._shapes[shape] = kinds
        columns = self._columns["metrics"]
        columns["record"] += [number] * len(kinds)
        columns["kind"] += kinds
        columns["place"] += range(len(kinds))
        columns["value"] += [m.value for m in metrics]
        columns["ci_low"] += [m.ci_low for m in metrics]
        columns["ci_high"] += [m.ci_high for m in metrics]
        columns["n"] += [m.n for m in metrics]

    def _text(self, facts: Facts) -> str:
        return self._encode(facts).decode()

    def _kind(self, kind: tuple[Any, ...]) -> int:
        number = self._kinds.get(kind)
        if number is None:
            number = self._kinds[kind] = self._number()
            columns = self._columns["kinds"]
            columns["kind"].append(number)
            for name, value in zip(KIND, kind, strict=True):
                columns[name].append(json.dumps(value) if name == "reasons" else value)
        return number

    def _add_trial(self, entry: int, trial: TrialResult) -> None:
        number, columns = self._number(), self._columns["trials"]
        settings = _shared(self._settings, trial.config, config_columns)
        own = {"entry": entry, "trial": number, "attempts": len(trial.records)}
        for name in columns:
            columns[name].append(
                own[name] if name in own else settings[name] if name in settings else getattr(trial, name)
            )
        columns, estimates = self._columns["estimates"], trial.estimates.values()
        columns["trial"] += [number] * len(estimates)
        columns["kind"] += [self._kind(_kind_of(e)) for e in estimates]
        columns["value"] += [e.value for e in estimates]
        columns["low"] += [e.low for e in estimates]
        columns["high"] += [e.high for e in estimates]
        columns["level"] += [e.level for e in estimates]
        columns["n"] += [e.n for e in estimates]

    def write(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> Segment:
        """Write the files.

        Raises:
            OSError: they cannot be written.
        """
        import numpy as np

        token = secrets.token_hex(8)
        self._columns["records"] = dict(zip(_ROW, map(list, zip(*self._rows, strict=True)), strict=True))
        for file, columns in FILES.items():
            arrays = {name: np.array(self._columns[file][name], dtype=_dtype(file, name)) for name in columns}
            connection.register("draft", arrays)
            write_file(connection, _selected("draft", columns), folder / f"{token}.{file}.parquet")
            connection.unregister("draft")
        return sealed(folder, token, ((self._first, self.entries),), self.records)


def _shared(known: dict[int, tuple[Facts, _T]], facts: Facts, made: Callable[[Facts], _T]) -> _T:
    """Return what is made of facts that records may share; while they are held here, their id is theirs."""
    found = known.get(id(facts))
    if found is None:
        if len(known) >= _TEXTS:
            del known[next(iter(known))]
        found = known[id(facts)] = facts, made(facts)
    return found[1]


def _dtype(file: str, name: str) -> str:
    """Return an array's type: NaN stands for no number where there may be none."""
    if file == "kinds" and name == "semantics_version":
        return "object"  # the kind of an estimate has none
    return _NUMBERS.get(FILES[file][name], "object")


def _kind_of(e: Estimate) -> tuple[Any, ...]:
    return (
        *(e.metric_id, e.unit, e.direction, e.estimator, e.provenance),
        *(None, None, None, e.title, e.validity, e.reasons),
    )


def _selected(source: str, columns: dict[str, str]) -> str:
    """Return the query that brings arrays to a file's types: NaN stands for no number in them."""
    parts = []
    for name, kind in columns.items():
        if kind == "DOUBLE":
            parts.append(f"nullif({name}, 'nan'::DOUBLE) AS {name}")
        elif kind == "VARCHAR[]":
            parts.append(f"{name}::JSON::VARCHAR[] AS {name}")
        else:
            parts.append(f"{name}::{kind} AS {name}")
    return f"SELECT {', '.join(parts)} FROM {source}"


def write_file(connection: duckdb.DuckDBPyConnection, select: str, path: Path) -> int:
    """Write what a query gives as Parquet, and return its number of rows.

    Raises:
        ResourceError: the disk takes it not.
    """
    import duckdb

    try:
        copy = f"COPY ({select}) TO {quoted(str(path))} (FORMAT parquet, COMPRESSION zstd)"
        return int(connection.execute(copy).fetchall()[0][0])
    except duckdb.IOException as error:
        raise ResourceError(" ".join(str(error).split())) from error


def sealed(folder: Path, token: str, spans: tuple[tuple[int, int], ...], records: int) -> Segment:
    """Return the segment of the files that were written under a token."""
    return Segment(token, spans, records, {f: digest(folder / f"{token}.{f}.parquet") for f in FILES})


def digest(path: Path) -> str | None:
    """Return a file's sha256; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
