"""Between a record and its bytes: strict both ways, and the one place that knows of schema versions."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.records.bounded_json import require_modest
from harness.records.errors import first_fault
from harness.records.schema import SCHEMA_VERSION, Record
from harness.system.errors import InputError

MAX_RECORD_BYTES = 16 * 2**20
"""A record is tens of kilobytes; long series belong in `trace.parquet`."""

_LARGEST_INTEGER = 2**64
"""Of a fact: what is larger is no count of this world, and overflows what computes with it."""
_DEEPEST = 60


class _Versioned(BaseModel):
    """The one field that every version has."""

    schema_version: int


def serialise(record: Record) -> bytes:
    """Return a record as one line of JSON.

    Raises:
        ValueError: it holds NaN, an infinity or an object that JSON has no word for, or it is too large.
    """
    _require_finite(record)
    data = json.dumps(record.model_dump(mode="json"), allow_nan=False, ensure_ascii=False).encode() + b"\n"
    if len(data) > MAX_RECORD_BYTES:
        raise InputError(f"a record holds at most {MAX_RECORD_BYTES} bytes, not {len(data)}")
    return data


def parse(data: bytes) -> Record:
    """Return the record that the bytes hold. A record of an older schema is brought to the present one here.

    Raises:
        ValueError: not a record, or one of a newer schema; one line says which.
    """
    require_modest(data)
    try:
        record = Record.model_validate_json(data, strict=True)  # a text or a truth is no number
    except ValidationError as error:
        _require_known_version(data)
        raise InputError(f"not a record: {first_fault(error)}") from error
    _require_known_version(data, record.schema_version)
    _require_finite(record)
    record._sha256 = hashlib.sha256(data).hexdigest()  # noqa: SLF001 - only its reader knows the bytes
    return record


def _require_known_version(data: bytes, version: int | None = None) -> None:
    if version is None:
        try:
            version = _Versioned.model_validate_json(data).schema_version
        except ValidationError:
            return  # not even a version: the caller's own error says more
    if version > SCHEMA_VERSION:
        raise InputError(
            f"written by a newer Joulemark (schema {version}; this one reads up to {SCHEMA_VERSION}): upgrade"
        )
    if version < 1:
        raise InputError(f"no schema has the version {version}")


def _require_finite(record: Record) -> None:
    # Free-form facts are outside the model's own check, and JSON would turn their NaN into null in silence.
    for name in ("config", "machine", "code", "evidence"):
        facts = getattr(record, name)
        if not is_sound(facts):
            where = _non_finite(facts, name)
            raise InputError(f"{where} is not a finite number, or nested too deeply")


def is_sound(value: Any, depth: int = 0) -> bool:
    """Say whether facts hold finite numbers alone, none beyond all counts, and are not nested too deeply."""
    if depth > _DEEPEST:
        return False
    for one in value.values() if isinstance(value, dict) else value:
        kind = type(one)
        if kind is float:
            if not -math.inf < one < math.inf:
                return False
        elif kind is int:
            if not -_LARGEST_INTEGER < one < _LARGEST_INTEGER:
                return False
        elif kind is dict or kind is list:
            if not is_sound(one, depth + 1):
                return False
        elif kind is not str and kind is not bool and one is not None and _non_finite(one, "it", depth + 1):
            return False
    return True


def _non_finite(value: Any, where: str, depth: int = 0) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else where
    if isinstance(value, int):
        return None if abs(value) < _LARGEST_INTEGER else where
    if depth > _DEEPEST:
        return where
    if isinstance(value, dict):
        for key, held in value.items():
            if type(held) is not str and (found := _non_finite(held, f"{where}.{key}", depth + 1)):
                return found
    elif isinstance(value, list | tuple):
        for place, held in enumerate(value):
            if type(held) is not str and (found := _non_finite(held, f"{where}[{place}]", depth + 1)):
                return found
    return None
