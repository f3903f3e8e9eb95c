"""Read other tools' result files into foreign results: one file per format."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.exporters.importers.definitions import LeftOut
from harness.records.bounded_json import require_modest
from harness.records.errors import faults_of
from harness.records.foreign import ForeignFile, ForeignResult
from harness.records.store import read_bounded
from harness.system.errors import InputError, UsageError

BUILT_IN = {
    "pytest-benchmark": "harness.exporters.importers.pytest_benchmark",
    "optimum-benchmark": "harness.exporters.importers.optimum",
    "superbench": "harness.exporters.importers.superbench",
    "mlperf": "harness.exporters.importers.mlperf",
    "aiperf": "harness.exporters.importers.aiperf",
    "genai-perf": "harness.exporters.importers.genai_perf",
    "guidellm": "harness.exporters.importers.guidellm",
    "inference-perf": "harness.exporters.importers.inference_perf",
    "vllm-bench": "harness.exporters.importers.vllm_bench",
    "nvbench": "harness.exporters.importers.nvbench",
}
"""By name, the module whose `results(data)` yields the results of a parsed file."""
LARGEST_BYTES = 64 * 2**20
_MOST_DIGITS = 300
_MOST_NESTED, _MOST_NUMBERS = 2_000_000, 8_000_000
_LINES = ("superbench",)
"""Formats of one JSON object a line."""


class FieldError(InputError):
    """A field that is missing or wrong; the message begins with its place."""


def read_file(path: Path, source: str) -> ForeignFile:
    """Read a file of another tool.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not of that format; one line names the file and the field.
    """
    if source not in BUILT_IN:
        raise UsageError(f"--from {source}: there are {', '.join(BUILT_IN)}")
    results: Callable[[Any], Iterator[ForeignResult | LeftOut]] = importlib.import_module(
        BUILT_IN[source]
    ).results
    with faults_of(path):
        data = read_bounded(path, LARGEST_BYTES)
        require_modest(data, _MOST_NESTED, _MOST_NUMBERS)
        parsed, torn = _parsed(data, lines=source in _LINES)
        told = [*results(parsed), *torn]
        found = tuple(one for one in told if isinstance(one, ForeignResult))
        left_out = tuple(one.reason[:1000] for one in told if isinstance(one, LeftOut))
        if not found:
            raise InputError(left_out[0] if left_out else f"it holds no result of {source}")
    digest = hashlib.sha256(data).hexdigest()
    return ForeignFile(source=source, file=path.name, sha256=digest, results=found, left_out=left_out)


def _parsed(data: bytes, *, lines: bool) -> tuple[Any, list[LeftOut]]:
    """Return what the file holds, and the lines of it that are torn."""
    text = data.decode("utf-8-sig")
    if not lines:
        return _json(text, "the file"), []
    objects, torn = [], []
    for i, line in enumerate(text.splitlines(), 1):
        try:
            objects += [_json(line, f"line {i}")] if line.strip() else []
        except FieldError as error:
            torn.append(LeftOut(str(error)))
    return objects, torn


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise FieldError(f"{where} is not JSON: {error}") from error


def _whole(digits: str) -> int:
    """Return a whole number that a float can hold."""
    if len(digits) > _MOST_DIGITS:
        raise FieldError(f"a whole number of {len(digits)} digits")
    return int(digits)


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
