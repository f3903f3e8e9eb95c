"""Where a cluster measured each trial: one place has all its replicas, whatever was left elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from harness.execution.ledger import Ledger
from harness.planning.plan import PlannedTrial
from harness.records.schema import Record

SAME_CODE = ("harness_sha256", "workloads_sha256", "torch", "python")
"""Facts of the code that are the same on all hosts of one installation; drivers and compilers need not be."""


class Place(NamedTuple):
    """One node with one machine's hardware and one code."""

    machine_id: str
    code_id: str
    node: str | None


def node_of(record: Record) -> str | None:
    """Return the scheduler's name of the node that measured; None outside of any."""
    told = record.evidence.get("allocation")
    node = told.get("node") if isinstance(told, dict) else None
    return node if isinstance(node, str) else None


def by_place(records: Iterable[Record]) -> dict[str, dict[Place, Ledger]]:
    """Return by trial the ledger of each place that has records of it; merged ones count nowhere."""
    found: dict[str, dict[Place, Ledger]] = defaultdict(dict)
    for record in records:
        if record.merged:
            continue
        place = Place(record.machine_id, record.code_id, node_of(record))
        ledgers = found[record.trial_id]
        if place not in ledgers:
            ledgers[place] = Ledger(record.machine_id, {record.trial_id: record.code_id})
        ledgers[place].add(record)
    return found


def chosen(records: Iterable[Record], same_code: Callable[[Record], bool]) -> Ledger:
    """Return one ledger of all trials, each by the records of the place that has most of its replicas.

    Of places with equally many it is the one that measured last. Records that are left out are counted.

    Args:
        records: of one sweep, by any number of machines.
        same_code: whether a record is of the code that is asked for.
    """
    whole = Ledger("", {})
    counted = 0
    mine: list[Record] = []
    for record in records:
        counted += 1
        if same_code(record) and record.merged:
            whole.merged.setdefault(record.trial_id, []).append(record)
        elif same_code(record):
            mine.append(record)
    for trial_id, ledgers in by_place(mine).items():
        best = max(ledgers.values(), key=lambda ledger: _standing(ledger, trial_id))
        whole.by_trial[trial_id] = best.by_trial[trial_id]
    kept = sum(len(a) for replicas in whole.by_trial.values() for a in replicas.values())
    whole.elsewhere = counted - kept - sum(map(len, whole.merged.values()))
    return whole


def _standing(ledger: Ledger, trial_id: str) -> tuple[int, str]:
    attempts = [r for replica in ledger.by_trial[trial_id].values() for r in replica]
    return len(ledger.ok(trial_id)), max(r.started_at for r in attempts)


def settled_elsewhere(
    trial: PlannedTrial,
    here: Place,
    ledgers: Mapping[Place, Ledger],
    wanted: Callable[[Ledger], int],
    *,
    failures: bool,
) -> bool:
    """Tell whether another place with this code has all of a trial or, if `failures` count, its failure."""
    settled = {"done", "failed", "refused"} if failures else {"done", "refused"}
    return any(
        ledger.state(trial.trial_id, None, wanted(ledger)) in settled
        for place, ledger in ledgers.items()
        if place != here and place.code_id == here.code_id
    )
