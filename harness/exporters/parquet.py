"""Parquet: the rows of the CSV table, typed, written by DuckDB."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.exporters.common import COLUMNS, rows
from harness.records.parquet import system_errors
from harness.records.results import TrialResult
from harness.system.errors import access_to
from harness.system.files import replacing


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file; a missing value is null.

    Raises:
        OSError: it cannot be written.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="joulemark-") as folder, replacing(path) as written:
        lines = Path(folder, "rows.jsonl")
        with lines.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows(results))
        columns = json.dumps(COLUMNS).replace('"', "'")
        target = str(written).replace("'", "''")
        with duckdb.connect(":memory:") as connection:
            connection.execute(
                f"CREATE TABLE rows AS FROM read_json($1, format = 'newline_delimited', columns = {columns})",
                [str(lines)],
            )
            with access_to(path), system_errors(path):
                connection.execute(f"COPY rows TO '{target}' (FORMAT parquet)")
    return [path]
