"""What is remembered of every bundle that was merged: below `merged/`, one file each, never taken away."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.records.errors import faults_of
from harness.records.schema import Digest, Frozen
from harness.records.store import Store, read_bounded
from harness.system.errors import access_to
from harness.system.files import write_atomically
from harness.system.inside import require_inside

FOLDER = "merged"
_MOST_BYTES = 1 << 20
_MOST_LINES = 50
Label = Literal["consistent", "not sealed", "incomplete", "inconsistent"]


class Mark(Frozen):
    """One merged bundle."""

    schema_version: Literal[1] = 1
    bundle: str = Field(max_length=1000)
    sha256: Digest
    label: Label
    signed_by: str | None = Field(default=None, max_length=1000)
    """The trusted name behind the key; None where nobody signed, or the key was not asked about."""
    key_id: str | None = Field(default=None, max_length=200)
    machines: tuple[str, ...] = Field(default=(), max_length=10_000)
    findings: tuple[str, ...] = Field(default=(), max_length=_MOST_LINES + 1)

    def __str__(self) -> str:
        who = self.signed_by or (f"key {self.key_id}, not vouched for" if self.key_id else "nobody")
        machines = ", ".join(machine[:8] for machine in self.machines[:5])
        return f"merged from {self.bundle}: machine {machines}: signed by {who}; {self.label}"


def file_digest(path: Path) -> str:
    """Return the sha256 of a bundle's bytes."""
    with access_to(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shortened(findings: Sequence[str]) -> tuple[str, ...]:
    """Return the first findings, and how many more there are."""
    more = len(findings) - _MOST_LINES
    return (*(line[:500] for line in findings[:_MOST_LINES]), *([f"and {more} more"] if more > 0 else []))


def write_mark(store: Store, mark: Mark) -> Path:
    """Keep a mark in a results folder; one that is there of the same bundle stays."""
    folder = store.root / FOLDER
    require_inside(store.root, folder)
    path = folder / f"{mark.sha256}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, mark.model_dump_json(indent=1).encode() + b"\n")
    return path


def read_marks(store: Store) -> tuple[list[Mark], list[str]]:
    """Return every mark, and a line for each that cannot be read."""
    found, left_out = [], []
    for path in sorted((store.root / FOLDER).glob("*.json")):
        try:
            with faults_of(path):
                found.append(Mark.model_validate_json(read_bounded(path, _MOST_BYTES)))
        except (OSError, ValueError) as error:
            left_out.append(str(error))
    return found, left_out
