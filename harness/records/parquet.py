"""What reading and writing Parquet by DuckDB shares: its settings, and what the operating system refused."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

_READING: dict[str, Any] = {
    "threads": 1, "memory_limit": "512MB", "temp_directory": "", "enable_external_file_cache": False,
    "autoinstall_known_extensions": False, "autoload_known_extensions": False,
    "python_enable_replacements": False,
}  # fmt: skip


def reader() -> duckdb.DuckDBPyConnection:
    """Return the connection for files that anyone may have written: it extends nothing and writes nothing."""
    return _connection(os.getpid())


@cache
def _connection(_process: int) -> duckdb.DuckDBPyConnection:
    """Connect once in each process: one that was forked has none of DuckDB's threads."""
    import duckdb

    return duckdb.connect(config=_READING)


@contextlib.contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Raise DuckDB's error about a file as the operating system's, so that a full disk is known as one.

    DuckDB (1.4, 2.0) keeps the system's words within its own, sometimes as JSON, and sets no `errno`.

    Args:
        path: what is being written, by the name that its user knows.

    Raises:
        OSError: with its number; `EIO` and DuckDB's words where no number is recognised.
    """
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        words = str(error)
        number = next((n for n in errno.errorcode if os.strerror(n) in words), None)
        known = (errno.EIO, words) if number is None else (number, os.strerror(number))
        raise OSError(*known, str(path)) from error
