"""The records of a sweep against each other and against the plan: nothing left out, added or swapped."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from harness.bundles.finding import Finding
from harness.records.chain import plan_digest
from harness.records.plan import read_plan_bytes
from harness.records.schema import UNJUDGED, Record, Seal

_SLACK_S = 60.0
"""A clock that is corrected within a run may go back by so much."""


@dataclass(frozen=True, slots=True)
class Found:
    """The few words that are kept of each record."""

    path: str
    sha256: str
    machine_id: str
    code_id: str
    trial_id: str
    replica: int
    status: str
    started_at: str
    wall_s: float
    seal: Seal | None
    start: str
    """Of a block of a cluster, as text: each start of one has a chain of its own. Empty elsewhere."""
    work: str
    """What a step processed, and the digests of the first weights and batch: one for all of a trial."""
    clocks: tuple[Any, ...]
    """What clocks said of its span, to the nanosecond: no two are alike. Empty without a span."""
    planned: int
    """Replicas that its configuration asks for at least."""

    @classmethod
    def of(cls, path: str, record: Record) -> Found:
        """Take them out of a record."""
        kept = record.evidence.get("audit")
        ranks = kept.get("ranks") if isinstance(kept, dict) else None
        cycles = (
            [one.get("cycle") for one in ranks if isinstance(one, dict)] if isinstance(ranks, list) else []
        )
        ok = record.status == "ok" and bool(cycles)
        seal = None if record.seal is None else record.seal.model_copy(update={"size": None, "files": {}})
        work = [
            cycles,
            *(record.evidence.get(f"{name}_sha256") for name in ("initial_weights", "first_batch")),
        ]
        told = record.evidence.get("allocation")
        block = isinstance(told, dict) and told.get("block") is not None
        measure = record.config.get("measure")
        planned = measure.get("replicas") if isinstance(measure, dict) else None
        return cls(
            path, record.sha256, record.machine_id, record.code_id, record.trial_id, record.replica,
            record.status, record.started_at, record.wall_s, seal,
            json.dumps(told, sort_keys=True) if block else "",
            sys.intern(json.dumps(work, sort_keys=True)) if ok else "",
            _clocks(ranks) if ok else (),
            planned if isinstance(planned, int) else 0,
        )  # fmt: skip


def _clocks(ranks: Any) -> tuple[Any, ...]:
    names = ("span_ns", "host_ns", "cpu_ns", "warmup_ns")
    return tuple(str(one.get(name)) for one in ranks if isinstance(one, dict) for name in names)


def check_sweep(
    sweep: str, records: Sequence[Found], plan: Mapping[str, Any] | None
) -> tuple[list[Finding], list[Finding]]:
    """Return what does not fit together, and what was planned and is neither there nor failed."""
    wrong: list[Finding] = []
    machines: dict[str, list[Found]] = defaultdict(list)
    for record in records:
        machines[record.machine_id].append(record)
    for machine, found in machines.items():
        wrong += [Finding(path, *said) for path, *said in _chain(found)]
        wrong += [Finding(path, *said) for path, *said in _replicas(found)]
        if plan is not None and plan["machine_id"] == machine:
            wrong += [Finding(f"{sweep}/plan.json", *said) for said in _sealed_plan(found, plan)]
    missing = [] if plan is None else list(_missing(sweep, records, plan))
    return wrong, missing


def _chain(found: Sequence[Found]) -> Iterator[tuple[str, str, str]]:
    sealed = [record for record in found if record.seal is not None]
    digests = {record.sha256 for record in sealed}
    followers: dict[tuple[str, str | None], list[Found]] = defaultdict(list)
    for record in sealed:
        assert record.seal is not None
        followers[record.start, record.seal.previous].append(record)
        if record.seal.previous is not None and record.seal.previous not in digests:
            yield record.path, "chain", "the record before it was changed or left out"
    for (_, previous), followed in followers.items():
        if previous is None and len({record.seal.run for record in followed if record.seal}) == len(followed):
            continue  # another user of the machine, or one whose journal is gone, begins a chain of his own
        if len(followed) > 1:
            what = "are each the first" if previous is None else "follow the same one"
            yield followed[1].path, "chain", f"it and {followed[0].path} {what}: one was added"
    runs: dict[str, list[Found]] = defaultdict(list)
    for record in sealed:
        assert record.seal is not None
        runs[record.seal.run].append(record)
    for group in runs.values():
        group.sort(key=lambda r: r.seal.number if r.seal else 0)
        for number, record in enumerate(group):
            if record.seal is not None and record.seal.number != number:
                yield record.path, "chain", f"record {number} of its run is left out"
                break
        for before, record in pairwise(group):
            if _began(record) + _SLACK_S < _began(before) + before.wall_s:
                yield record.path, "time", f"it began before {before.path} of the same run had ended"


def _began(record: Found) -> float:
    at = datetime.fromisoformat(record.started_at)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _replicas(found: Sequence[Found]) -> Iterator[tuple[str, str, str]]:
    trials: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for record in found:
        trials[record.trial_id, record.code_id].append(record)
    for group in trials.values():
        numbers = {record.replica for record in group}
        if gap := sorted(set(range(max(numbers))) - numbers):
            yield (
                group[0].path,
                "replica left out",
                f"replica {gap[0]} of this trial, with {len(gap) - 1} more",
            )
        if len({record.work for record in group if record.work}) > 1:
            yield group[-1].path, "units", "replicas of this trial processed different work"
    seen: dict[tuple[Any, ...], str] = {}
    for record in found:
        if record.clocks and seen.setdefault(record.clocks, record.path) != record.path:
            yield record.path, "replica copied", f"its clocks are those of {seen[record.clocks]}"


def _sealed_plan(found: Sequence[Found], plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    followed = {record.seal.previous for record in found if record.seal is not None}
    last = [r for r in found if r.seal is not None and r.sha256 not in followed]
    if last and all(r.seal is not None and r.seal.plan != plan_digest(plan) for r in last):
        yield "plan changed", "it is not the plan that the last record was sealed with"
    least = {record.trial_id: record.planned for record in found if record.seal is not None}
    for trial in plan["trials"]:
        if trial["refusal"] is None and trial["replicas"] < least.get(trial["trial_id"], 0):
            yield "plan changed", f"{trial['label'][:200]}: fewer replicas than its configuration asks for"


def _missing(sweep: str, records: Sequence[Found], plan: Mapping[str, Any]) -> Iterator[Finding]:
    good: dict[str, set[int]] = defaultdict(set)
    failed: set[str] = set()
    for record in records:
        # Blocks of a cluster are measured wherever its scheduler puts them.
        if record.machine_id == plan["machine_id"] or record.start:
            if record.status == "ok":
                good[record.trial_id].add(record.replica)
            elif record.status not in UNJUDGED:
                failed.add(record.trial_id)
    for trial in plan["trials"]:
        done, wanted = len(good[trial["trial_id"]]), int(trial["replicas"])
        if trial["refusal"] is None and trial["trial_id"] not in failed and done < wanted:
            said = f"{trial['label'][:200]}: {done} of {wanted} replicas, and none that failed"
            yield Finding(f"{sweep}/plan.json", "planned and not there", said)


def read_plan(data: bytes | None) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return a plan, or why what is there is none."""
    if data is None:
        return None, None
    try:
        return read_plan_bytes(data), None
    except ValueError as error:
        return None, str(error)
