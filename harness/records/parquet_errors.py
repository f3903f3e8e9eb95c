"""What the operating system refused, where DuckDB wraps it in an error of its own."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


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
