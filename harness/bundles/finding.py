"""What an audit says of one file, and what it takes for equal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

_RELATIVE = 1e-9
NOT_RECOMPUTED = "not recomputed"
"""The kind of what is no inconsistency: a part that could not be made again here, and why."""
Told = Iterator[tuple[str, str]]
"""Kind and sentence of each finding about one record."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One inconsistency."""

    path: str
    kind: str
    """Two or three words, the same for every inconsistency of a kind."""
    said: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: {self.said}"


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(a: float, b: float) -> bool:
    """Tell whether two numbers agree but for the last digits: another processor may round otherwise."""
    return a == b or math.isclose(a, b, rel_tol=_RELATIVE, abs_tol=1e-300)


def difference(shown: Any, made: Any, where: str = "") -> str | None:
    """Return where plain data first differs, as a path, empty for the whole; None where it is the same."""
    if isinstance(made, tuple | list) and list(made) == shown:
        return None
    if isinstance(made, Mapping) and isinstance(shown, dict):
        if shown.keys() != made.keys():
            return f"{where}.{min(map(str, shown.keys() ^ made.keys()))[:80]}"
        found = (difference(shown[key], made[key], f"{where}.{key}") for key in made)
    elif isinstance(made, list | tuple) and isinstance(shown, list | tuple):
        if len(shown) != len(made):
            return where
        pairs = enumerate(zip(shown, made, strict=True))
        found = (difference(a, b, f"{where}[{place}]") for place, (a, b) in pairs)
    elif is_number(made) and is_number(shown):
        return None if same(shown, made) else where
    else:
        return None if shown == made and type(shown) is type(made) else where
    return next((path for path in found if path is not None), None)
