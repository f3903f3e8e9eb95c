"""The attempts of an audit in batches: as many at a time as fit in memory, each checked against itself."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.bundles.attempt_audit import check_attempt
from harness.bundles.chain_audit import Found
from harness.bundles.finding import Finding
from harness.bundles.replay_audit import OTHER_RULES
from harness.bundles.work_audit import Works
from harness.records.bounded_json import unique
from harness.records.codec import parse
from harness.records.errors import one_line
from harness.records.listing import RECORD
from harness.records.loop import LOOP, Series, read_loops
from harness.records.store import PLAN
from harness.records.trace import TRACE, Trace, read_traces
from harness.system.errors import InputError
from harness.trial.energy_audit import MOST_ROWS

_BATCH_ATTEMPTS = 100
_BATCH_BYTES = 8 * 2**20
Batch = dict[str, dict[str, bytes]]
"""By an attempt's folder, its files by name."""


@dataclass
class Part:
    """What an audit found of one batch."""

    sealed: int = 0
    findings: list[Finding] = field(default_factory=list)
    not_made: Counter[str] = field(default_factory=Counter)
    """By reason, in how many records something was not made again."""
    found: list[tuple[str, Found]] = field(default_factory=list)
    """Of each record, its sweep and what is kept of it."""
    works: Works = field(default_factory=Works)


def batches(files: Iterable[tuple[str, bytes]], plans: dict[str, bytes]) -> Iterator[Batch]:
    """Yield the attempts in batches, and put every plan into `plans` by its sweep."""
    waiting: Batch = {}
    size, last = 0, ""
    for name, data in files:
        folder, _, file = name.rpartition("/")
        if file == PLAN:
            plans[folder] = data
        if folder.count("/") != 3:
            continue
        if folder != last and (len(waiting) >= _BATCH_ATTEMPTS or size > _BATCH_BYTES):
            yield waiting
            waiting, size = {}, 0
        last = folder
        waiting.setdefault(folder, {})[file] = data
        size += len(data)
    yield waiting


def check_batch(batch: Batch) -> Part:
    """Check each attempt of a batch that has a record."""
    part = Part()
    for attempt, group, series, trace in _with_numbers(batch):
        try:
            record = parse(group[RECORD])
        except ValueError as error:
            part.findings.append(Finding(f"{attempt}/{RECORD}", "no record", one_line(error)))
            continue
        try:
            json.loads(group[RECORD], object_pairs_hook=unique)
        except ValueError as error:
            part.findings.append(Finding(f"{attempt}/{RECORD}", "name twice", one_line(error)))
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in group.items() if name != RECORD}
        wrong, not_made = check_attempt(attempt, record, digests, series, trace)
        part.findings += wrong
        part.not_made.update(dict.fromkeys(not_made, 1))
        part.sealed += record.seal is not None and OTHER_RULES not in not_made
        part.works.add(attempt, record)
        part.found.append((record.sweep, Found.of(attempt, record)))
    return part


_Attempt = tuple[str, dict[str, bytes], Series | None, Trace | InputError | None]


def _with_numbers(batch: Batch) -> Iterator[_Attempt]:
    """Yield each attempt with its files by name, and what its loop and its trace hold."""
    loops, traces = (
        [(name, group[file]) for name, group in batch.items() if file in group] for file in (LOOP, TRACE)
    )
    series = dict(read_loops(loops)) if loops else {}
    read = read_traces(traces, MOST_ROWS) if traces else iter(())
    for name, group in batch.items():
        # One trace at a time: of a stranger, each may be as large as is allowed.
        trace = next(read)[1] if TRACE in group else None
        if RECORD in group:
            yield name, group, series.get(name), trace
