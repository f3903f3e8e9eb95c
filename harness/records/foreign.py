"""Results that other tools measured: kept apart from records, for comparison, and never ranked among them.

Nothing of them was seen by this instrument: they are foreign and unverified, and they have no interval, since
nobody here knows what their spread means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from harness.records.bounded_json import require_modest
from harness.records.errors import faults_of
from harness.records.metrics import METRICS
from harness.records.results import Estimate, TrialResult
from harness.records.schema import Direction, Facts, Frozen, Name, Quantity
from harness.records.store import Store, read_bounded
from harness.system.errors import UsageError

FOLDER = "foreign"
LABELS = ("foreign", "unverified", "no interval")
MOST_BYTES = 64 * 2**20
"""Of a file that is kept: what another tool says of its machine stands beside each of its results."""
MOST = 400_000, 3_000_000
"""Lists, objects and keys of such a file, and values."""
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
    """The tool, as `import --from` calls it: `pytest-benchmark`, `aiperf`, …"""
    file: _Text
    """Name of the file that was imported."""
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    labels: tuple[str, ...] = LABELS
    results: tuple[ForeignResult, ...]
    left_out: tuple[_Text, ...] = ()
    """Numbers of the file that could not be taken, each with its place."""

    @property
    def key(self) -> str:
        """What it is called below `foreign/`: the same contents have the same name."""
        return f"{self.source}-{self.sha256[:16]}"


def read_foreign(store: Store) -> tuple[list[ForeignFile], list[str]]:
    """Read what was imported into a results folder, and a line for each file that cannot be used."""
    found, left_out = [], []
    for path in sorted((store.root / FOLDER).glob("*.json")):
        try:
            with faults_of(path):
                data = read_bounded(path, MOST_BYTES)
                require_modest(data, *MOST)
                found.append(ForeignFile.model_validate_json(data))
        except (OSError, ValueError) as error:
            left_out.append(str(error))
    return found, left_out


def foreign_path(store: Store, file: ForeignFile) -> Path:
    """Return where an imported file is kept."""
    return store.root / FOLDER / f"{file.key}.json"


def find_foreign(store: Store, name: str) -> ForeignFile:
    """Return the one imported file of that name: its key, the beginning of it, or the name it came with.

    Raises:
        ValueError: there is none, or there are several.
    """
    files, left_out = read_foreign(store)
    found = [f for f in files if f.key.startswith(name.removesuffix(".json")) or f.file == name]
    if len(found) != 1:
        known = ", ".join(f"{FOLDER}/{f.key} ({f.file})" for f in found or files) or "none"
        unread = f"; {len(left_out)} cannot be used: {left_out[0]}" if left_out else ""
        what = "several files begin with" if found else "no imported file is called"
        raise UsageError(f"{store.root / FOLDER}: {what} {name!r}; there are: {known}{unread}")
    return found[0]


@dataclass(frozen=True, slots=True)
class Beside:
    """One metric of ours, and the foreign numbers that say something of the same kind. Nothing joins them."""

    metric_id: str
    ours: tuple[tuple[str, Estimate], ...]
    """By the trial's label, what we measured and may show."""
    foreign: tuple[ForeignResult, ...]


def beside(results: Sequence[TrialResult], file: ForeignFile) -> list[Beside]:
    """Put foreign numbers beside ours, metric by metric, where kind and unit are the same."""
    found = []
    for metric_id in dict.fromkeys(r.comparable_to for r in file.results):
        if metric_id not in METRICS:
            continue
        unit = METRICS[metric_id].unit
        foreign = tuple(r for r in file.results if r.comparable_to == metric_id and r.unit == unit)
        ours = tuple(
            (result.label, e)
            for result in results
            if (e := result.estimates.get(metric_id)) and e.value is not None and e.validity != "invalid"
        )
        if ours and foreign:
            found.append(Beside(metric_id, ours, foreign))
    return found
