"""The audit: whether what a record says follows from what it kept, and whether records belong together.

Hashes tell that nobody changed a file by mistake; whoever changes one on purpose makes new hashes. So every
number, flag and identity is made again by the rules that made it, and each that differs is named.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.bundles.attempt_audit import check_attempt
from harness.bundles.chain_audit import Found, check_sweep, read_plan
from harness.bundles.finding import Finding
from harness.bundles.marks import Label
from harness.bundles.replay_audit import OTHER_RULES
from harness.bundles.work_audit import Works
from harness.records.codec import MAX_RECORD_BYTES, parse
from harness.records.errors import one_line
from harness.records.listing import RECORD
from harness.records.loop import LOOP, Series, read_loops
from harness.records.store import PLAN, Store, read_bounded
from harness.records.trace import TRACE, Trace, read_traces
from harness.system.errors import InputError
from harness.trial.energy_audit import MOST_ROWS

_BATCH_FILES = 200
_BATCH_BYTES = 32 * 2**20
LARGEST_FILE_BYTES = 256 * 2**20


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

    Memory is bounded by a batch of attempts and a few words for each record.
    """
    told = Audit()
    sweeps: dict[str, list[Found]] = {}
    plans: dict[str, bytes] = {}
    works = Works()
    for attempt, group, series, trace in _attempts(files, plans):
        try:
            record = parse(group[RECORD])
        except ValueError as error:
            told.findings.append(Finding(f"{attempt}/{RECORD}", "no record", one_line(error)))
            continue
        told.records += 1
        if record.machine_id not in told.machines:
            told.machines.append(record.machine_id)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in group.items() if name != RECORD}
        wrong, not_made = check_attempt(attempt, record, digests, series, trace)
        told.findings += wrong
        told.not_recomputed.update(dict.fromkeys(not_made, 1))
        told.sealed += record.seal is not None and OTHER_RULES not in not_made
        works.add(attempt, record)
        sweeps.setdefault(record.sweep, []).append(Found.of(attempt, record))
    told.findings += works.check()
    told.not_recomputed.update(works.not_counted)
    for sweep, found in sweeps.items():
        plan, problem = read_plan(plans.get(sweep))
        if problem is not None:
            told.findings.append(Finding(f"{sweep}/{PLAN}", "no plan", problem))
        wrong, missing = check_sweep(sweep, found, plan)
        told.findings += wrong
        told.missing += missing
    return told


def audit_store(store: Store, sweeps: Iterable[str]) -> Audit:
    """Audit sweeps where they lie; a file that cannot be read is as one that is not there."""
    return audit(_files_of(store, sweeps))


def _files_of(store: Store, sweeps: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for sweep in sweeps:
        paths: list[Path] = [store.sweep_dir(sweep) / PLAN]
        for record in store.record_paths(sweep):
            if record.name == RECORD:
                paths += sorted(record.parent.iterdir())
        for path in paths:
            try:
                limit = MAX_RECORD_BYTES if path.name == RECORD else LARGEST_FILE_BYTES
                yield path.relative_to(store.root).as_posix(), read_bounded(path, limit)
            except (OSError, ValueError):
                continue


_Attempt = tuple[str, dict[str, bytes], Series | None, Trace | InputError | None]


def _attempts(files: Iterable[tuple[str, bytes]], plans: dict[str, bytes]) -> Iterator[_Attempt]:
    """Yield each attempt that has a record, with its files by name, and what its loop and its trace hold."""
    waiting: dict[str, dict[str, bytes]] = {}
    size, last = 0, ""
    for name, data in files:
        folder, _, file = name.rpartition("/")
        if file == PLAN:
            plans[folder] = data
        if folder.count("/") != 3:
            continue
        if folder != last and (len(waiting) >= _BATCH_FILES or size > _BATCH_BYTES):
            yield from _with_numbers(waiting)
            waiting, size = {}, 0
        last = folder
        waiting.setdefault(folder, {})[file] = data
        size += len(data)
    yield from _with_numbers(waiting)


def _with_numbers(waiting: dict[str, dict[str, bytes]]) -> Iterator[_Attempt]:
    loops, traces = (
        [(name, group[file]) for name, group in waiting.items() if file in group] for file in (LOOP, TRACE)
    )
    series = dict(read_loops(loops)) if loops else {}
    read = read_traces(traces, MOST_ROWS) if traces else iter(())
    for name, group in waiting.items():
        # One trace at a time: of a stranger, each may be as large as is allowed.
        trace = next(read)[1] if TRACE in group else None
        if RECORD in group:
            yield name, group, series.get(name), trace
