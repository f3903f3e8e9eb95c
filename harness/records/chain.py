"""The chain of a sweep's records on one machine: each seals the one before it, and what was planned."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.records.errors import one_line
from harness.records.listing import RECORD
from harness.records.schema import Facts, Record, Seal
from harness.system.errors import InputError, access_to


def plan_digest(plan: Mapping[str, Any]) -> str:
    """Return the digest of a plan: its trials by identity, and which were refused.

    How many replicas a trial is to have changes while a sweep runs, and is no part of it.

    Raises:
        ValueError: it is no plan.
    """
    try:
        trials = [[t["work_id"], t["trial_id"], t["refusal"] is not None] for t in plan["trials"]]
        plain = json.dumps([plan["sweep"], trials], allow_nan=False)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a plan: {one_line(error)}") from error
    return hashlib.sha256(plain.encode()).hexdigest()


def last_of(records: Iterable[Record]) -> str | None:
    """Return the digest of the last record of a chain: one that no other follows. None where there is none.

    Args:
        records: as they were read, of one sweep and one machine, in any order.
    """
    sealed = [record for record in records if record.seal is not None]
    followed = {record.seal.previous for record in sealed if record.seal is not None}
    ends = [record for record in sealed if record.sha256 not in followed]
    return max(ends, key=lambda r: (r.started_at, r.sha256)).sha256 if ends else None


def positions(records: Iterable[Record]) -> dict[str, int]:
    """Return how many records the chain says were written before each, by digest; unsealed ones have none.

    Unlike a date, a place cannot be changed by a clock that was wrong.
    """
    after: dict[str | None, list[str]] = {}
    sealed = {record.sha256: record.seal for record in records if record.seal is not None}
    for digest, seal in sealed.items():
        after.setdefault(seal.previous if seal.previous in sealed else None, []).append(digest)
    found: dict[str, int] = {}
    todo = [(digest, 0) for digest in after.get(None, ())]
    while todo:
        digest, place = todo.pop()
        if digest not in found:
            found[digest] = place
            todo += [(one, place + 1) for one in after.get(digest, ())]
    return found


@dataclass
class Chain:
    """The chain that one run of a sweep continues."""

    plan: str
    """From `plan_digest`."""
    previous: str | None = None
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    number: int = 0

    def seal(self, folder: Path, size: Facts | None, data: str | None) -> Seal:
        """Return the seal of the next record, whose other files lie in `folder`.

        Raises:
            OSError: one of them cannot be read.
        """
        return Seal(
            run=self.run,
            number=self.number,
            plan=self.plan,
            previous=self.previous,
            files=_files(folder),
            size=size,
            data=data,
        )

    def written(self, digest: str) -> None:
        """Go on from a record that is in its place."""
        self.previous = digest
        self.number += 1


def _files(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink() and path.name != RECORD and not path.name.startswith("."):
            with access_to(path), path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
