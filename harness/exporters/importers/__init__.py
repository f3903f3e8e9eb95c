"""Read other tools' result files into foreign results: one file per format."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.records.errors import faults_of
from harness.records.foreign import ForeignFile, ForeignResult
from harness.records.store import read_bounded

BUILT_IN = {
    "pytest-benchmark": "harness.exporters.importers.pytest_benchmark",
    "optimum-benchmark": "harness.exporters.importers.optimum",
    "superbench": "harness.exporters.importers.superbench",
    "mlperf": "harness.exporters.importers.mlperf",
}
"""By name, the module whose `results(data)` yields the results of a parsed file."""
LARGEST_BYTES = 64 * 2**20
_LINES = ("superbench",)
"""Formats of one JSON object a line."""


class FieldError(ValueError):
    """A field that is missing or wrong; the message begins with its place."""


def read_file(path: Path, source: str) -> ForeignFile:
    """Read a file of another tool.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not of that format; one line names the file and the field.
    """
    if source not in BUILT_IN:
        raise ValueError(f"--from {source}: there are {', '.join(BUILT_IN)}")
    results: Callable[[Any], Iterator[ForeignResult]] = importlib.import_module(BUILT_IN[source]).results
    with faults_of(path):
        data = read_bounded(path, LARGEST_BYTES)
        found = tuple(results(_parsed(data, lines=source in _LINES)))
        if not found:
            raise ValueError(f"it holds no result of {source}")
    digest = hashlib.sha256(data).hexdigest()
    return ForeignFile(source=source, file=path.name, sha256=digest, results=found)


def _parsed(data: bytes, *, lines: bool) -> Any:
    text = data.decode("utf-8-sig")
    if not lines:
        return _json(text, "the file")
    return [_json(line, f"line {i}") for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FieldError(f"{where} is not JSON: {error}") from error


def take(data: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return `data[key]` if it is of a kind.

    Raises:
        FieldError: it is not there, or of another kind.
    """
    if not isinstance(data, dict):
        raise FieldError(f"{where or 'the file'}: expected an object, got {type(data).__name__}")
    place = f"{where}.{key}" if where else key
    if key not in data:
        raise FieldError(f"{place}: it is missing")
    value = data[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FieldError(f"{place}: {type(value).__name__} is not what belongs there")
    return value


NUMBER = (int, float)
