"""What a planted fault is given, and one row of the table of faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class World:
    """Where a fault is planted."""

    monkeypatch: pytest.MonkeyPatch
    folder: Path
    """Empty."""
    built: Callable[[str], Any]
    """Builds and starts what takes a compiler, by name, once for all tests."""


@dataclass(frozen=True)
class Planted:
    """A rule, and what makes its producer write evidence, with a fault and without it."""

    rule: str
    plant: Callable[[World, bool], dict[str, Any]]
    """Drives the producer; the second argument says whether the fault is planted."""
    implies: frozenset[str] = field(default=frozenset())
    """Further rules that fire by the same fault."""

    @property
    def name(self) -> str:
        """Return the name of its test."""
        return f"{self.rule}-{self.plant.__name__.removeprefix('_')}"


def planted(rule: str, *implies: str) -> Callable[[Callable[[World, bool], dict[str, Any]]], Planted]:
    """Make a row of the function below."""
    return lambda plant: Planted(rule, plant, frozenset(implies))
