"""The trace beside a record, `trace.parquet`: what sensors and iterations did over time, on one clock.

One row a read or iteration: `t0_ns` and `t1_ns` around it, `series`, `value` in `unit`, `status` (0 is ok). A
read that failed is a row without a value. DuckDB writes and reads it; nothing else is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.records.parquet_errors import system_errors
from harness.system.files import replacing

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
