"""What the disk says of a sweep: which replicas are done, which failed, which are left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.planning.plan import Plan, PlannedTrial
from harness.records.headline import RAW, item_kind, iteration_metric
from harness.records.schema import Record, Status
from harness.stats import StatsError, plan_replicas

FAILURES: tuple[Status, ...] = ("oom", "crashed", "hung", "refused")
State = Literal["done", "partial", "waiting", "merged", "failed", "refused"]


@dataclass
class Ledger:
    """The records of one machine and of one code for each trial, by trial and replica."""

    machine_id: str
    code_ids: Mapping[str, str]
    """By trial: each uses libraries of its own."""
    by_trial: dict[str, dict[int, list[Record]]] = field(default_factory=dict)
    elsewhere: int = 0
    """Records that another machine or other code left: kept, reported, and not counted here."""
    merged: dict[str, list[Record]] = field(default_factory=dict)
    """By trial, what lies here under this machine and code and was not written here: shown, never counted."""

    @classmethod
    def read(cls, records: Iterable[Record], machine_id: str, code_ids: Mapping[str, str]) -> Ledger:
        """Sort records into a ledger."""
        ledger = cls(machine_id, code_ids)
        for record in records:
            ledger.add(record)
        return ledger

    def add(self, record: Record) -> None:
        """Take one more record."""
        here = (self.machine_id, self.code_ids.get(record.trial_id))
        if (record.machine_id, record.code_id) != here:
            self.elsewhere += 1
            return
        if record.merged:
            self.merged.setdefault(record.trial_id, []).append(record)
            return
        self.by_trial.setdefault(record.trial_id, {}).setdefault(record.replica, []).append(record)

    def ok(self, trial_id: str) -> list[Record]:
        """Return the trial's good records by replica: the last of each, since some are measured again."""
        replicas = self.by_trial.get(trial_id, {})
        good = ([r for r in replicas[number] if r.status == "ok"] for number in sorted(replicas))
        return [max(attempts, key=lambda r: r.attempt) for attempts in good if attempts]

    def last_failure(self, trial_id: str) -> Record | None:
        """Return the last failed attempt at the first replica that has only failed, if there is one."""
        for _, attempts in sorted(self.by_trial.get(trial_id, {}).items()):
            failed = [r for r in attempts if r.status in FAILURES]
            if failed and not any(r.status == "ok" for r in attempts):
                return max(failed, key=lambda r: r.attempt)
        return None

    def failures_of(self, trial_id: str, replica: int) -> int:
        """Count the failed attempts at a replica."""
        return sum(r.status in FAILURES for r in self.by_trial.get(trial_id, {}).get(replica, ()))

    def is_done(self, trial_id: str, replica: int) -> bool:
        """Tell whether a replica has a good record."""
        return any(r.status == "ok" for r in self.by_trial.get(trial_id, {}).get(replica, ()))

    def state(self, trial_id: str, refusal: str | None, wanted: int) -> State:
        """Say in one word where a trial stands."""
        failure = self.last_failure(trial_id)
        if refusal is not None or (failure is not None and failure.status == "refused"):
            return "refused"
        if failure is not None:
            return "failed"
        done = len(self.ok(trial_id))
        if not done:
            return "merged" if self.merged_ok(trial_id) else "waiting"
        return "done" if done >= wanted else "partial"

    def merged_ok(self, trial_id: str) -> list[Record]:
        """Return the good records of a trial that were merged or copied in."""
        return [r for r in self.merged.get(trial_id, ()) if r.status == "ok"]

    def merged_note(self, sweep: str) -> str | None:
        """Say in one line what lies here and does not count, and what to do; None where there is nothing."""
        n = sum(map(len, self.merged.values()))
        if not n:
            return None
        return (
            f"{n} records under this machine's id were merged or copied here, or the journal of this user "
            f"is another: they do not count; `joulemark adopt {sweep}` counts what you measured yourself"
        )


def replicas_wanted(trial: PlannedTrial, good: list[Record]) -> int:
    """Return how many replicas a trial needs: the pilot's, then what the pilot's spread asks for.

    Args:
        trial: the trial.
        good: its good records by replica.
    """
    m = trial.config.measure
    pilot = good[: m.replicas]
    if len(pilot) < m.replicas or m.max_replicas == m.replicas:
        return m.replicas
    served = not any(record.metric(RAW) for record in pilot)
    timed = f"throughput.{item_kind(pilot)}" if served else iteration_metric(pilot)
    means = [metric.value for r in pilot if (metric := r.metric(timed)) and metric.value]
    try:
        return plan_replicas(means, math.log1p(m.target(trial.config.device.hardware)), 0.95, m.max_replicas)
    except StatsError:
        return m.replicas


def exit_code(plan: Plan, ledger: Ledger, wanted: Callable[[PlannedTrial], int]) -> int:
    """Return a sweep's exit code from what is on disk.

    0: every trial that is not refused is complete. 1: some failed or are left. 2: all cells are refused.
    """
    states = {ledger.state(t.trial_id, t.refusal, wanted(t)) for t in plan.trials}
    if states <= {"refused"}:
        return 2
    return 0 if states <= {"done", "refused"} else 1
