"""What another tool's metric is, by that tool's own documents: its unit, statistic and phase, and our like.

One table a tool, which the importer reads and `docs/foreign.md` is written from. A name in no table has no
unit and no counterpart: nothing is guessed from how it sounds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from harness.records.foreign import ForeignResult
from harness.records.metrics import METRICS
from harness.records.schema import Direction


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric, or a family of them."""

    pattern: str
    """Of the whole name, as `re.fullmatch` takes it."""
    example: str
    """A name that the pattern matches."""
    their_unit: str
    statistic: str
    phase: str
    meaning: str
    unit: str = ""
    """What we keep it in; empty is their unit."""
    scale: float = 1.0
    """By which their value becomes ours."""
    direction: Direction = "lower"
    ours: str | None = None
    """Our metric of the same kind."""

    def __post_init__(self) -> None:
        """Check that the table can hold.

        Raises:
            ValueError: the example does not match, or the counterpart has another unit.
        """
        if re.fullmatch(self.pattern, self.example) is None:
            raise ValueError(f"{self.example} is no example of {self.pattern}")
        if self.ours is not None and METRICS[self.ours].unit != self.kept_unit:
            raise ValueError(f"{self.example} in {self.kept_unit} cannot stand beside {self.ours}")

    @property
    def kept_unit(self) -> str:
        """Return the unit of the imported value."""
        return self.unit or self.their_unit


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, the release and the documents that the table follows, and the table."""

    name: str
    version: str
    document: str
    definitions: tuple[Definition, ...]
    note: str = ""

    def of(self, name: str) -> Definition | None:
        """Return the first definition whose pattern matches the whole name."""
        return next((d for d in self.definitions if re.fullmatch(d.pattern, name)), None)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A number that cannot be taken, with its place."""

    reason: str


def seconds(scale: float, unit: str, **facts: Any) -> dict[str, Any]:
    """Return the fields of a time that is kept in seconds."""
    return {"their_unit": unit, "unit": "s", "scale": scale, **facts}


def result(
    tool: Tool, key: str, name: str, metric: str, value: Any, where: str, **rest: Any
) -> ForeignResult | LeftOut:
    """Return a number as the tool's table defines it.

    Args:
        tool: Whose table holds.
        key: The name that the table is asked for.
        name: What was measured.
        metric: The tool's name of the metric.
        value: As the file has it.
        where: Its place in the file.
        rest: Further fields of the result.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return LeftOut(f"{where}: {type(value).__name__} is not a number")
    if not math.isfinite(value):
        return LeftOut(f"{where}: {value} is not a number")
    found = tool.of(key)
    if found is None:
        return ForeignResult(name=name, metric=metric, value=value, unit="", **rest)
    return ForeignResult(
        name=name,
        metric=metric,
        value=value * found.scale,
        unit=found.kept_unit,
        direction=found.direction,
        comparable_to=found.ours,
        **rest,
    )
