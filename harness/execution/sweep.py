"""Run a plan: rounds of replicas in a recorded random order, each in a worker, each leaving a record."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from harness.execution.attempt import Attempts
from harness.execution.host_watch import HostWatch
from harness.execution.ledger import Ledger
from harness.execution.session import Session
from harness.identity.machine import Identity
from harness.isolation.workers import Workers
from harness.planning.plan import Plan, PlannedTrial, code_ids, plan_payload
from harness.records.chain import Chain, last_of, plan_digest
from harness.records.headline import iteration_metric
from harness.records.leftovers import sweep_up
from harness.records.schema import Record
from harness.records.store import Store, StoreError
from harness.stats import StatsError, plan_replicas
from harness.system.contention import is_contended
from harness.system.limits import require_limits
from harness.system.locks import sweep_lock


class Progress(Protocol):
    """What a sweep tells while it runs; see `harness.execution.progress`."""

    def started(self, trial: PlannedTrial, replica: int) -> None:
        """A replica begins."""

    def tick(self) -> None:
        """About half a second has passed."""

    def finished(self, record: Record, remaining_s: float) -> None:
        """A replica has its record; the rest takes about `remaining_s` seconds."""

    def note(self, text: str) -> None:
        """Something worth one line."""


@dataclass
class Sweep:
    """One run of a plan on this machine."""

    plan: Plan
    store: Store
    identity: Identity
    progress: Progress
    workers: Callable[[], Workers] = Workers
    ledger: Ledger = field(init=False)
    attempts: Attempts = field(init=False)
    session: Session = field(default_factory=Session)
    host: HostWatch = field(default_factory=HostWatch)
    _walls: dict[str, list[float]] = field(default_factory=dict)
    _tried: set[tuple[str, int]] = field(default_factory=set)
    _unjudged: set[tuple[str, int]] = field(default_factory=set)
    """Replicas that the harness failed in this run: the next one tries them again."""
    _disturbed: list[tuple[PlannedTrial, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shown, evidence = self.progress, self.session.evidence
        self.host.note = shown.note
        policy = self.host.wait_policy
        self.attempts = Attempts(
            self.plan.sweep,
            self.store,
            self.identity,
            shown.tick,
            evidence,
            shown.note,
            wait_policy=policy,
        )

    def run(self) -> Ledger:
        """Run what is missing, and return what the disk then holds.

        Raises:
            StoreError: a record could not be written; everything written before it is in place.
            ResourceError: this shell's limits are too low, or the sweep's folder is no longer where it was.
            SweepBusyError: another process runs this sweep.
            KeyboardInterrupt: after the replica in flight has its record, and its processes are gone.
        """
        require_limits()
        self.store.check_writable()
        with sweep_lock(self.store.sweep_dir(self.plan.sweep)) as held:
            self.attempts.still_mine = held.require
            sweep_up(self.store, self.plan.sweep)
            records, torn = self.store.records(self.plan.sweep)
            for bad in torn:
                self.progress.note(f"left out {bad.path}: {bad.reason}")
            codes = code_ids(self.plan.trials, self.identity)
            self.ledger = Ledger.read(records, self.identity.machine_id, codes)
            here = self.identity.machine_id
            foreign = [
                r
                for r in records
                if r.trial_id in codes and (r.machine_id, r.code_id) != (here, codes[r.trial_id])
            ]
            if foreign:
                self.progress.note(self._difference(foreign))
            mine = [r for r in records if r.machine_id == here]
            planned = plan_digest(plan_payload(self.plan, self.identity))
            self.attempts.chain = Chain(planned, last_of(mine))
            self._write_plan()
            self._record_refusals()
            if left := self._left():
                self.host.before(left[0].config.run.quiet_wait_s, self.progress.tick)
            with self.workers() as workers:
                self.session.run(left, workers, self.progress.note, self.progress.tick)
                self._rounds(workers)
                self._again(workers)
        return self.ledger

    def _difference(self, foreign: list[Record]) -> str:
        """Say what about earlier records keeps them from counting for this run."""
        last = max(foreign, key=lambda r: r.started_at)
        used = next(t.libraries for t in self.plan.trials if t.trial_id == last.trial_id)
        for what, mine, its in (
            ("machine", self.identity.machine, last.machine),
            ("code", self.identity.using(used).code, last.code),
        ):
            keys = sorted(k for k in {*mine, *its} if mine.get(k) != its.get(k))
            if keys and (last.machine_id != self.identity.machine_id or what == "code"):
                some = ", ".join(keys[:6])
                return f"{len(foreign)} earlier records are of another {what} ({some}): measuring again"
        return f"{len(foreign)} earlier records are of another machine or code: measuring again"

    def _record_refusals(self) -> None:
        for trial in self.plan.refused:
            if trial.trial_id not in self.ledger.by_trial:
                self.ledger.add(self.attempts.refuse(trial))

    def _left(self) -> list[PlannedTrial]:
        return [t for t in self.plan.runnable if any(self._wants(t, i) for i in range(self.wanted(t)))]

    def _rounds(self, workers: Workers) -> None:
        number = 0
        while number < max((self.wanted(t) for t in self.plan.runnable), default=0):
            todo = [t for t in self.plan.runnable if self._wants(t, number)]
            random.Random(f"{self.plan.trials[0].config.run.order_seed}:{number}").shuffle(todo)
            for order, trial in enumerate(todo):
                while self._wants(trial, number):
                    self._attempt(workers, trial, number, order)
            number += 1
            self._write_plan()

    def _again(self, workers: Workers) -> None:
        """Measure once more what others disturbed in this run, if the host is quiet now and time allows."""
        disturbed = [one for one in self._disturbed if self.ledger.is_done(one[0].trial_id, one[1])]
        budget_s = self.plan.trials[0].config.run.remeasure * self.plan.estimated_s
        if not disturbed or not budget_s:
            return
        if self.host.before(0.0, self.progress.tick):
            self.progress.note(f"{len(disturbed)} replicas were disturbed; not again beside the same work")
            return
        began = time.monotonic()
        for order, (trial, replica) in enumerate(disturbed):
            if time.monotonic() - began + trial.replica_s > budget_s:
                left = len(disturbed) - order
                self.progress.note(f"{left} disturbed replicas stay: run.remeasure allows {budget_s:.0f} s")
                return
            self._attempt(workers, trial, replica, order)

    def _write_plan(self) -> None:
        """Keep the plan beside the records; how many replicas a trial needs changes with its pilot."""
        payload = plan_payload(self.plan, self.identity, self.wanted)
        try:
            same = payload == self.store.read_plan(self.plan.sweep)
        except StoreError:
            same = False  # what is there is no plan, whoever left it: this run's takes its place
        if not same:
            self.store.write_plan(self.plan.sweep, payload)

    def wanted(self, trial: PlannedTrial) -> int:
        """Return how many replicas the trial needs: the pilot's, then what the pilot's spread asks for."""
        m = trial.config.measure
        pilot = self.ledger.ok(trial.trial_id)[: m.replicas]
        if len(pilot) < m.replicas or m.max_replicas == m.replicas:
            return m.replicas
        timed = iteration_metric(pilot)
        means = [metric.value for r in pilot if (metric := r.metric(timed)) and metric.value]
        try:
            return plan_replicas(
                means, math.log1p(m.target(trial.config.device.hardware)), 0.95, m.max_replicas
            )
        except StatsError:
            return m.replicas

    def _wants(self, trial: PlannedTrial, replica: int) -> bool:
        """Tell whether this replica is still to be run, now."""
        if replica >= self.wanted(trial) or self.ledger.is_done(trial.trial_id, replica):
            return False
        if (trial.trial_id, replica) in self._unjudged:
            return False
        run = trial.config.run
        tried = (trial.trial_id, replica) in self._tried
        failure = self.ledger.last_failure(trial.trial_id)
        if failure is None:
            return True
        if failure.replica != replica:
            # A configuration that failed is not measured further, but by its own retry.
            return False
        if run.retry_failed and not tried:
            return True
        return self.ledger.failures_of(trial.trial_id, replica) < run.attempts

    def _attempt(self, workers: Workers, trial: PlannedTrial, replica: int, order: int) -> None:
        self.progress.started(trial, replica)
        self._tried.add((trial.trial_id, replica))
        started = time.monotonic()
        record = self.attempts.run(workers, trial, replica, order)
        self._walls.setdefault(trial.trial_id, []).append(time.monotonic() - started)
        self.ledger.add(record)
        if record.status == "harness":
            self._unjudged.add((trial.trial_id, replica))
        self.host.after(record)
        if record.status == "ok" and is_contended(record.evidence.get("contention") or {}):
            self._disturbed.append((trial, replica))
        self.progress.finished(record, self.remaining_s())

    def remaining_s(self) -> float:
        """Foretell the seconds that the rest takes, from the replicas that have run."""
        left = 0.0
        for trial in self.plan.runnable:
            if self.ledger.last_failure(trial.trial_id) is None:
                walls = self._walls.get(trial.trial_id)
                each = sum(walls) / len(walls) if walls else trial.replica_s
                left += each * max(0, self.wanted(trial) - len(self.ledger.ok(trial.trial_id)))
        return left
