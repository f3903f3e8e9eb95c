"""The trace beside a record, `trace.parquet`: what sensors and iterations did over time, on one clock.

One row a read or iteration: `t0_ns` and `t1_ns` around it, `series`, `value` in `unit`, `status` (0 is ok). A
read that failed is a row without a value. DuckDB writes and reads it; nothing else is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records.parquet import reader, system_errors
from harness.system.errors import InputError
from harness.system.files import replacing
from harness.system.memory_files import in_memory

if TYPE_CHECKING:
    import duckdb

TRACE = "trace.parquet"
COLUMNS = ("t0_ns", "t1_ns", "series", "value", "unit", "status")


def write_trace(columns: Mapping[str, Any], folder: Path) -> Path:
    """Write a trace so that it is there whole or not at all, and return its path.

    Args:
        columns: For each of `COLUMNS` an array; all equally long. A value without meaning is NaN.
        folder: The attempt's; it exists.

    Raises:
        OSError: it cannot be written.
        ValueError: a column is missing, or they differ in length.
    """
    import duckdb

    if tuple(columns) != COLUMNS or len({len(column) for column in columns.values()}) != 1:
        raise ValueError(f"a trace has the columns {', '.join(COLUMNS)}, equally long")
    path = folder / TRACE
    rows = dict(columns)  # DuckDB finds it by its name  # noqa: F841
    settings: dict[str, Any] = {"threads": 1, "memory_limit": "256MB"}
    with replacing(path) as temporary, duckdb.connect(config=settings) as connection:
        target = str(temporary).replace("'", "''")
        select = "SELECT * REPLACE (CASE WHEN isnan(value) THEN NULL ELSE value END AS value) FROM rows"
        with system_errors(path):
            connection.execute(f"COPY ({select}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    return path


Columns = tuple[Any, Any, Any, Any]
"""`t0_ns`, `t1_ns`, `value` and `status` of one series in its order, numpy arrays; NaN is no value."""
Trace = dict[str, Columns]
"""By series."""
_MOST_SERIES = 1000
_NUMBERS = ("t0_ns", "t1_ns", "value", "status")


class TooLongError(InputError):
    """A trace that may be sound and is too long for what was asked."""


def read_traces(
    files: Sequence[tuple[str, bytes]], most_rows: int
) -> Iterator[tuple[str, Trace | InputError]]:
    """Read many traces at once: yield each name with its trace, or with why there is none.

    Args:
        files: by any name, the bytes of `trace.parquet`.
        most_rows: of one trace; a longer one is a `TooLongError`.
    """
    import duckdb

    db = reader()
    with in_memory([data for _, data in files]) as paths:
        rows = _rows(db, paths)
        fitting = [path for path in paths if rows.get(path, most_rows + 1) <= most_rows]
        found: dict[str, Trace] = {}
        if sum(rows[path] for path in fitting) <= most_rows:
            with contextlib.suppress(duckdb.Error, ValueError):
                found = _read(db, {path: rows[path] for path in fitting})
        for path, (name, _) in zip(paths, files, strict=True):
            if path in found:
                yield name, found.pop(path)
            elif rows.get(path, 0) > most_rows:
                yield name, TooLongError(f"a trace of {rows[path]} rows")
            else:  # alone: together they are too long, or one of them is none
                try:
                    yield name, _read(db, {path: rows[path]})[path]
                except (duckdb.Error, ValueError, KeyError):
                    yield name, InputError("no trace")


def _rows(db: duckdb.DuckDBPyConnection, paths: list[str]) -> dict[str, int]:
    """Return how many rows each file has; one that is no Parquet is left out."""
    import duckdb

    query = "SELECT file_name, num_rows FROM parquet_file_metadata($1)"
    try:
        return dict(db.execute(query, [paths]).fetchall())
    except duckdb.Error:
        found: dict[str, int] = {}
        for path in paths:
            with contextlib.suppress(duckdb.Error):
                found |= dict(db.execute(query, [[path]]).fetchall())
        return found


def _read(db: duckdb.DuckDBPyConnection, rows: Mapping[str, int]) -> dict[str, Trace]:
    """Return each file's series by its path.

    Args:
        db: from `reader`.
        rows: of each file.

    Raises:
        duckdb.Error, ValueError: one of them is no trace.
    """
    import numpy as np

    paths, found = list(rows), dict[str, Trace]()
    if not paths:
        return found
    names = db.execute("SELECT DISTINCT series::VARCHAR FROM read_parquet($1)", [paths]).fetchall()
    series = [str(name) for (name,) in names]
    if len(series) > _MOST_SERIES:
        raise InputError("too many series")
    # Rows come in their file's order, and the files in theirs. A name in every row would be a text for each.
    told = db.execute(
        "SELECT t0_ns::BIGINT AS t0_ns, t1_ns::BIGINT AS t1_ns, value::DOUBLE AS value, "
        "status::INTEGER AS status, list_position($2, series::VARCHAR)::INTEGER AS place "
        "FROM read_parquet($1)",
        [paths, series],
    ).fetchnumpy()
    if any(np.ma.is_masked(told[name]) for name in ("t0_ns", "t1_ns", "status", "place")):
        raise InputError("a row without a time, a status or a series")
    columns = [np.ma.filled(told[name], np.nan if name == "value" else 0) for name in _NUMBERS]
    places, begin = np.ma.getdata(told["place"]), 0
    for path, count in rows.items():
        part = slice(begin, begin + count)
        order = np.argsort(places[part], kind="stable")
        held, starts = np.unique(places[part][order], return_index=True)
        cut = [np.split(column[part][order], starts[1:]) for column in columns]
        found[path] = {series[place - 1]: one for place, *one in zip(held, *cut, strict=True)}
        begin += count
    return found
