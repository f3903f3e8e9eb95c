"""The loop beside a record, `loop.parquet`: every duration, mark and edge of the span, and every loss.

One row a number, in order within its series: whole numbers in `value`, others in `real`. Parquet keeps
neighbouring whole numbers as their differences, so that an iteration takes a byte or two.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records.parquet import reader, system_errors
from harness.system.errors import InputError, ResourceError
from harness.system.memory_files import in_memory

if TYPE_CHECKING:
    import duckdb

LOOP = "loop.parquet"
_RAW = ".loop.npz.tmp"
"""A temporary file: what a killed run leaves of it, the next one sweeps up."""
MOST_ROWS = 16 * 2**20
"""Of one file that is read: a span on the host's clock keeps at most 2^20 samples, and marks beside them."""
_MOST_SERIES = 1000
Series = dict[str, Any]
"""By name, a numpy array of int64 or float64."""


def keep_raw(series: Mapping[str, Any], folder: Path) -> None:
    """Leave the series where `pack` finds them: a process that measures has no time to start DuckDB.

    Raises:
        OSError: they cannot be written.
    """
    import numpy as np

    with (folder / _RAW).open("wb") as file:
        np.savez(file, **series)  # numpy 2.0 takes `allow_pickle` for one of them


def pack(folder: Path, *, whole: bool) -> None:
    """Make `loop.parquet` of series that a worker left, if it left any.

    Args:
        folder: the attempt's.
        whole: the worker ended well, so that its series are whole; one that died may have left a part.

    Raises:
        OSError: they cannot be read, or it cannot be written.
    """
    import numpy as np

    raw = folder / _RAW
    if raw.is_symlink() or not raw.is_file():
        return
    try:
        with np.load(raw, allow_pickle=False) as kept:
            series = {name: kept[name] for name in kept.files}
        write_loop(series, folder)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if whole:
            raise ResourceError(f"{raw}: cannot be read back: {error}") from error
    finally:
        discard_raw(folder)


def discard_raw(folder: Path) -> None:
    """Remove series that a worker left and nobody packs.

    Raises:
        OSError: they cannot be removed.
    """
    (folder / _RAW).unlink(missing_ok=True)


def write_loop(series: Mapping[str, Any], folder: Path) -> Path:
    """Write the series so that the file is there whole or not at all, and return its path.

    Args:
        series: by name, whole numbers or floats; NaN is kept as a row without a value.
        folder: the attempt's; it exists.

    Raises:
        OSError: it cannot be written.
    """
    import numpy as np

    names = [name for name, values in series.items() if len(values)]
    arrays = [np.asarray(series[name]) for name in names]
    whole = [a if a.dtype.kind == "i" else np.zeros(len(a), np.int64) for a in arrays]
    real = [a if a.dtype.kind == "f" else np.full(len(a), np.nan) for a in arrays]
    counts = [len(a) for a in arrays]
    kinds = np.array([a.dtype.kind == "i" for a in arrays], bool)
    rows = {
        "series": np.repeat(np.arange(len(names), dtype=np.int64), counts),
        "whole": np.repeat(kinds, counts),
        "value": np.concatenate([*whole, np.empty(0, np.int64)]),
        "real": np.concatenate([*real, np.empty(0, np.float64)]),
    }
    path, temporary = folder / LOOP, folder / f".{LOOP}.tmp"
    target = str(temporary).replace("'", "''")
    order = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    select = (
        f"SELECT ([{order}])[series + 1] AS series, CASE WHEN whole THEN value END AS value, "  # noqa: S608
        "CASE WHEN NOT whole AND NOT isnan(real) THEN real END AS real FROM rows"
    )
    copy = f"COPY ({select}) TO '{target}' (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd)"
    try:
        with system_errors(path):
            _run(copy, rows)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)
    return path


def _run(copy: str, rows: dict[str, Any]) -> None:
    connection = _connection()
    connection.register("rows", rows)
    try:
        connection.execute(copy)
    finally:
        connection.unregister("rows")


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    """Start DuckDB once: a sweep writes a loop after each replica, and starting takes longer than writing."""
    import duckdb

    return duckdb.connect(config={"threads": 1, "memory_limit": "512MB"})


def read_loops(files: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, Series | None]]:
    """Read many loops at once: yield each name with its series, or with None where it is no loop.

    Args:
        files: by any name, the bytes of `loop.parquet`.
    """
    import duckdb

    db = reader()
    with in_memory([data for _, data in files]) as paths:
        try:
            found = _read(db, paths)
        except (duckdb.Error, ValueError):
            found = {}
            for path in paths:  # one of them is bad: the others are still read
                try:
                    found |= _read(db, [path])
                except (duckdb.Error, ValueError):
                    continue
        for path, (name, _) in zip(paths, files, strict=True):
            yield name, found.get(path)


def _read(db: Any, paths: list[str]) -> dict[str, Series]:
    """Return each file's series by its path.

    Raises:
        duckdb.Error: one of them is no loop.
        ValueError: too many rows or series, or a series whose rows do not stand together.
    """
    import numpy as np

    counts = dict(db.execute("SELECT file_name, num_rows FROM parquet_file_metadata($1)", [paths]).fetchall())
    if sum(counts.values()) > MOST_ROWS * len(paths):
        raise InputError("too many rows")
    # Loops of one sweep mostly have the same series: the first one's names do for all, or all are asked.
    for asked in (paths[:1], paths):
        names = _names(db, asked)
        # A file's rows come in its own order, and the files in theirs. A name in every row would be a text
        # for each.
        columns = db.execute(
            "SELECT value, real, list_position($2, series::VARCHAR)::INTEGER AS place FROM read_parquet($1)",
            [paths, names],
        ).fetchnumpy()
        if not np.ma.is_masked(columns["place"]):
            break
    else:
        raise InputError("a row without a series")
    whole = np.ma.filled(columns["value"], 0).astype(np.int64, copy=False)
    real = np.ma.filled(columns["real"].astype(float, copy=False), np.nan)
    without, places = np.ma.getmaskarray(columns["value"]), np.ma.getdata(columns["place"])
    found: dict[str, Series] = {}
    begin = 0
    for path in paths:
        end = begin + counts[path]
        edges = [begin, *(begin + 1 + np.flatnonzero(np.diff(places[begin:end]))), end]
        held = found[path] = {}
        for start, stop in pairwise(edges if end > begin else ()):
            column = real if without[start:stop].any() else whole
            if held.setdefault(names[places[start] - 1], part := column[start:stop].copy()) is not part:
                raise InputError("the rows of a series do not stand together")
        begin = end
    return found


def _names(db: Any, paths: list[str]) -> list[str]:
    found = db.execute(
        f"SELECT DISTINCT series::VARCHAR FROM read_parquet($1) LIMIT {_MOST_SERIES + 1}",  # noqa: S608
        [paths],
    ).fetchall()
    if len(found) > _MOST_SERIES:
        raise InputError("too many series")
    return [name for (name,) in found if name is not None]
