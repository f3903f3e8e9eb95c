"""JSON from anywhere: bounded in its number of values before a parser builds any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.system.errors import InputError

_SMALL_BYTES = 1 << 17


def require_modest(data: bytes, most: int = 100_000, numbers: int | None = None) -> None:
    """Refuse a document of more values than any honest one has: an empty list of 2 bytes becomes hundreds.

    Args:
        data: the document; a small one is not counted.
        most: lists, objects and values that it may have.
        numbers: where it may have long lists of numbers, how many values; `most` then bounds the others.

    Raises:
        InputError: it may have more.
    """
    if len(data) <= _SMALL_BYTES:
        return
    if sum(map(data.count, (b"[", b"{", b":"))) > most:
        raise InputError(f"more than {most} lists, objects and keys")
    if data.count(b",") > (most if numbers is None else numbers):
        raise InputError(f"more than {most if numbers is None else numbers} values")


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, as `object_pairs_hook`: of two equal keys readers take one or the other.

    Raises:
        InputError: a key stands twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise InputError(f"{next(n for n in names if names.count(n) > 1)[:60]!r} is named twice")
    return found
