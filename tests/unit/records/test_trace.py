"""The trace beside a record: what was read comes back, and a failed read is no number."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from harness.records.trace import COLUMNS, TRACE, TooLongError, read_traces, write_trace
from harness.system.errors import InputError

ROWS = {
    "t0_ns": np.array([10, 30, 20], np.int64),
    "t1_ns": np.array([11, 31, 21], np.int64),
    "series": np.array(["nvml:0:energy", "iteration", "nvml:0:energy"], object),
    "value": np.array([1.5, 1.0, np.nan]),
    "unit": np.array(["J", "1", "J"], object),
    "status": np.array([0, 0, 15], np.int32),
}


def test_a_trace_is_read_back_as_it_was(tmp_path):
    """With the types of its columns; a read that failed is a row without a value, never a zero."""
    path = write_trace(ROWS, tmp_path)
    assert path == tmp_path / TRACE
    table = duckdb.sql(f"FROM read_parquet('{path}')")
    assert tuple(table.columns) == COLUMNS
    assert [str(kind) for kind in table.types] == [
        "BIGINT",
        "BIGINT",
        "VARCHAR",
        "DOUBLE",
        "VARCHAR",
        "INTEGER",
    ]
    assert table.fetchall() == [
        (10, 11, "nvml:0:energy", 1.5, "J", 0),
        (30, 31, "iteration", 1.0, "1", 0),
        (20, 21, "nvml:0:energy", None, "J", 15),
    ]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "columns",
    [
        {name: column for name, column in ROWS.items() if name != "unit"},
        ROWS | {"value": np.array([1.0])},
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path, columns):
    """Nothing is written."""
    with pytest.raises(ValueError, match="a trace has the columns"):
        write_trace(columns, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_folder_is_an_error_of_the_system(tmp_path):
    """As for every other file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_trace(ROWS, tmp_path / "file")


def test_a_trace_of_anybody_is_read_by_series_or_refused(tmp_path):
    """In the file's order; one that is no trace, or longer than was asked for, is one line."""
    data = write_trace(ROWS, tmp_path).read_bytes()
    other = tmp_path / "other.parquet"
    duckdb.sql(f"COPY (SELECT 'x' AS t0_ns) TO '{other}' (FORMAT parquet)")
    wrong = [("empty", b""), ("cut", b"PAR1"), ("other", other.read_bytes())]
    for files in ([("a", data), ("b", data)], [("a", data), *wrong]):
        found = dict(read_traces(files, 6))
        a = {name: [column.tolist() for column in columns] for name, columns in found["a"].items()}
        assert a["iteration"] == [[30], [31], [1.0], [0]]
        assert a["nvml:0:energy"] == [[10, 20], [11, 21], pytest.approx([1.5, np.nan], nan_ok=True), [0, 15]]
        assert all(isinstance(found[name], InputError) for name, _ in files[1:] if name != "b")
    ((_, long),) = read_traces([("a", data)], 2)
    assert isinstance(long, TooLongError)
