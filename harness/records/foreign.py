"""Results that other tools measured: kept apart from records, for comparison, and never ranked among them.

Nothing of them was seen by this instrument: they are foreign and unverified, and they have no interval, since
nobody here knows what their spread means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from harness.records.schema import Direction, Facts, Frozen, Name, Quantity
from harness.records.store import Store, read_bounded

FOLDER = "foreign"
LABELS = ("foreign", "unverified", "no interval")
_MOST_BYTES = 64 * 2**20
_Text = Annotated[str, StringConstraints(max_length=1000)]


class ForeignResult(Frozen):
    """One number of another tool."""

    name: _Text
    """What was measured, in that tool's words."""
    metric: _Text
    """That tool's name of the metric."""
    value: Quantity
    unit: _Text
    """Empty where the tool does not say."""
    direction: Direction = "none"
    comparable_to: str | None = None
    """Our metric of the same kind; its definition is still another one."""
    n: int | None = Field(default=None, ge=0)
    facts: Facts = Field(default_factory=dict)
    """What the tool tells of machine, software and settings."""


class ForeignFile(Frozen):
    """The results of one imported file."""

    schema_version: Literal[1] = 1
    source: Name
    """The tool: `pytest-benchmark`, `optimum-benchmark`, `superbench` or `mlperf`."""
    file: _Text
    """Name of the file that was imported."""
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    labels: tuple[str, ...] = LABELS
    results: tuple[ForeignResult, ...]


def read_foreign(store: Store) -> tuple[list[ForeignFile], list[str]]:
    """Read what was imported into a results folder, and a line for each file that cannot be used."""
    found, left_out = [], []
    for path in sorted((store.root / FOLDER).glob("*.json")):
        try:
            found.append(ForeignFile.model_validate_json(read_bounded(path, _MOST_BYTES)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            left_out.append(f"{path}: {where}: {first['msg']}")
        except (OSError, ValueError) as error:
            left_out.append(f"{path}: {error}")
    return found, left_out


def foreign_path(store: Store, source: str, sha256: str) -> Path:
    """Return where an imported file is kept: the same contents have the same place."""
    return store.root / FOLDER / f"{source}-{sha256[:16]}.json"
