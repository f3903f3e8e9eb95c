"""The audit: whether what a record says follows from what it kept, and whether records belong together.

Hashes tell that nobody changed a file by mistake; whoever changes one on purpose makes new hashes. So every
number, flag and identity is made again by the rules that made it, and each that differs is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.bundles.batch_audit import batches, check_batch
from harness.bundles.chain_audit import Found, check_sweep, read_plan
from harness.bundles.finding import Finding
from harness.bundles.marks import Label
from harness.bundles.work_audit import Works
from harness.records.codec import MAX_RECORD_BYTES
from harness.records.errors import one_line
from harness.records.listing import RECORD
from harness.records.store import PLAN, Store, read_bounded
from harness.system.side_by_side import side_by_side

LARGEST_FILE_BYTES = 256 * 2**20
_PARTS = 5
"""Of a record's path: sweep, machine, trial, attempt and the file."""


@dataclass
class Audit:
    """What an audit found."""

    records: int = 0
    machines: list[str] = field(default_factory=list)
    sealed: int = 0
    """Records with a seal, kept by the rules of this version."""
    findings: list[Finding] = field(default_factory=list)
    """What does not follow from what was kept."""
    missing: list[Finding] = field(default_factory=list)
    """What was planned and is neither there nor failed: an unfinished sweep, or a shortened one."""
    not_recomputed: Counter[str] = field(default_factory=Counter)
    """By reason, in how many records something was not made again."""

    @property
    def label(self) -> Label:
        """`inconsistent`, `incomplete`, `not sealed` or `consistent`: the worst that holds."""
        if self.findings:
            return "inconsistent"
        if self.missing:
            return "incomplete"
        return "consistent" if self.sealed == self.records else "not sealed"

    def notes(self) -> list[str]:
        """Return a line for each reason why something was not made again."""
        return [f"not recomputed in {count} records: {why}" for why, count in self.not_recomputed.items()]

    def lines(self) -> list[str]:
        """Return a line for everything that was found."""
        return [str(finding) for finding in (*self.findings, *self.missing)]


def audit(files: Iterable[tuple[str, bytes]]) -> Audit:
    """Audit the files of sweeps, each by its path below a results folder, in the order of the paths.

    Memory is bounded by a few batches of attempts and a few words for each record.
    """
    told, works = Audit(), Works()
    sweeps: dict[str, list[Found]] = {}
    plans: dict[str, bytes] = {}
    for part in side_by_side(check_batch, batches(files, plans)):
        told.records += len(part.found)
        told.sealed += part.sealed
        told.findings += part.findings
        told.not_recomputed.update(part.not_made)
        works.include(part.works)
        for sweep, found in part.found:
            sweeps.setdefault(sweep, []).append(found)
            if found.machine_id not in told.machines:
                told.machines.append(found.machine_id)
    for sweep in list(sweeps):
        plan, problem = read_plan(plans.get(sweep))
        if problem is not None:
            told.findings.append(Finding(f"{sweep}/{PLAN}", "no plan", problem))
        wrong, missing = check_sweep(sweep, sweeps.pop(sweep), plan)
        told.findings += wrong
        told.missing += missing
    # Last: the process that counts takes memory, and by now the records' part of it is free.
    told.findings += works.check()
    told.not_recomputed.update(works.not_counted)
    return told


def audit_store(store: Store, sweeps: Iterable[str]) -> Audit:
    """Audit sweeps where they lie; what is there and cannot be read as a plain file is named."""
    unread: list[Finding] = []
    told = audit(_files_of(store, sweeps, unread))
    told.findings += unread
    return told


def _files_of(store: Store, sweeps: Iterable[str], unread: list[Finding]) -> Iterator[tuple[str, bytes]]:
    for sweep in sweeps:
        paths: list[Path] = [store.sweep_dir(sweep) / PLAN]
        for record in store.record_paths(sweep):
            if record.name != RECORD:
                unread.append(Finding(_below(store, record), "unreadable", "no folder that can be read"))
            elif len(record.relative_to(store.root).parts) != _PARTS:
                unread.append(Finding(_below(store, record), "misplaced", "no attempt lies there"))
            else:
                paths += sorted(record.parent.iterdir())
        for path in paths:
            try:
                limit = MAX_RECORD_BYTES if path.name == RECORD else LARGEST_FILE_BYTES
                yield _below(store, path), read_bounded(path, limit)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                if path.is_symlink() or not path.is_dir():
                    why = error.strerror if isinstance(error, OSError) else None
                    said = "a link" if path.is_symlink() else why or one_line(error)
                    unread.append(Finding(_below(store, path), "unreadable", said))


def _below(store: Store, path: Path) -> str:
    return path.relative_to(store.root).as_posix()
