"""Run a plan: rounds of replicas in a recorded random order, each in a worker, each leaving a record."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from harness.execution.attempt import Attempts
from harness.execution.host_watch import HostWatch
from harness.execution.lease import Lease, require_no_lease
from harness.execution.ledger import Ledger, replicas_wanted
from harness.execution.places import Place, by_place, node_of, settled_elsewhere
from harness.execution.session import Session
from harness.identity.machine import Identity
from harness.isolation.workers import Workers
from harness.planning.plan import Plan, PlannedTrial, code_ids, plan_payload, planned_replicas
from harness.records.chain import Chain, last_of, plan_digest
from harness.records.leftovers import sweep_up
from harness.records.schema import Record
from harness.records.store import Store, UnreadableRecord
from harness.records.store_errors import StoreError
from harness.system.allocation import allocation
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
    workers: Callable[[], contextlib.AbstractContextManager[Workers]] = Workers
    """Gives what runs the replicas, and takes it back."""
    lease: Lease | None = None
    """Of a block, which is a part of `whole` and runs beside others; None runs the sweep alone."""
    whole: Plan | None = None
    """The sweep's plan, of which `plan` may be a block."""
    ledger: Ledger = field(init=False)
    attempts: Attempts = field(init=False)
    session: Session = field(default_factory=Session)
    host: HostWatch = field(default_factory=HostWatch)
    _walls: dict[str, list[float]] = field(default_factory=dict)
    _left_s: dict[str, float] = field(default_factory=dict)
    """By trial, the seconds that the rest of it takes: a replica changes its own trial's alone."""
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
            self._tick,
            evidence,
            shown.note,
            wait_policy=policy,
        )
        self._here = allocation()
        if self.lease is not None or self._here.job is not None:
            block = None if self.lease is None else self.lease.block
            self.attempts.allocation = {**self._here.facts(), "block": block}

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
        with self._alone() as held:
            self.attempts.still_mine = held
            records, torn = self._records()
            for bad in torn:
                self.progress.note(f"left out {bad.path}: {bad.reason}")
            codes = code_ids(self.plan.trials, self.identity)
            if self.lease is not None:
                records = self._of_this_node(records, codes)
            self.ledger = Ledger.read(records, self.identity.machine_id, codes)
            here = self.identity.machine_id
            foreign = [
                r
                for r in records
                if r.trial_id in codes and (r.machine_id, r.code_id) != (here, codes[r.trial_id])
            ]
            if foreign:
                self.progress.note(self._difference(foreign))
            if merged := self.ledger.merged_note(self.plan.sweep):
                self.progress.note(merged)
            planned = plan_digest(plan_payload(self.whole or self.plan, self.identity))
            self.attempts.chain = Chain(planned, last_of(self._chained(records)))
            self._write_plan()
            self._record_refusals()
            if left := self._left():
                self.host.before(left[0].config.run.quiet_wait_s, self._tick)
            with self.workers() as workers:
                self.session.run(left, workers, self.progress.note, self._tick)
                self._rounds(workers)
                if self._again(workers):
                    self._rounds(workers)  # a pilot measured anew may ask for more replicas
        return self.ledger

    @contextlib.contextmanager
    def _alone(self) -> Iterator[Callable[[], None]]:
        """Hold the block's lease, or the whole sweep, of which no block may run.

        What it gives raises where the folder is no longer the one that is held.
        """
        folder = self.store.sweep_dir(self.plan.sweep)
        if self.lease is not None:
            with self.lease:
                yield lambda: None  # one that is lost still takes the record of the replica in flight
        else:
            with sweep_lock(folder) as held:
                require_no_lease(folder, self.progress.note)
                sweep_up(self.store, self.plan.sweep)
                yield held.require

    def _tick(self) -> None:
        if self.lease is not None:
            self.lease.renew()
        self.progress.tick()

    def _records(self) -> tuple[list[Record], list[UnreadableRecord]]:
        """Read the sweep's records; of a block only its own trials', so that no node reads everybody's."""
        trials = None if self.lease is None else [t.trial_id for t in self.plan.trials]
        return self.store.records(self.plan.sweep, trials)

    def _of_this_node(self, records: list[Record], codes: Mapping[str, str]) -> list[Record]:
        """Leave out of the plan what another node has finished, and of the records what other nodes began.

        Replicas of one trial are measured on one node: what another has in part is measured again here.
        """
        ledgers, node = by_place(records), self._here.node
        left = []
        for trial in self.plan.trials:
            here = Place(self.identity.machine_id, codes[trial.trial_id], node)
            there = ledgers.get(trial.trial_id, {})

            def wanted(ledger: Ledger, trial: PlannedTrial = trial) -> int:
                return replicas_wanted(trial, ledger.ok(trial.trial_id))

            again = trial.config.run.retry_failed
            if not settled_elsewhere(trial, here, there, wanted, failures=not again):
                left.append(trial)
        if len(left) < len(self.plan.trials):
            done = len(self.plan.trials) - len(left)
            self.progress.note(f"{done} trial{'s' * (done != 1)} of this block are done on other nodes")
        self.plan = replace(self.plan, trials=tuple(left))
        ids = {trial.trial_id for trial in left}
        return [r for r in records if r.trial_id in ids and node_of(r) == node]

    def _chained(self, records: list[Record]) -> list[Record]:
        """Return the records that this run's chain goes on from; each start of a block has its own chain."""
        mine = [r for r in records if r.machine_id == self.identity.machine_id and not r.merged]
        if self.lease is None:
            return mine
        return [r for r in mine if r.evidence.get("allocation") == self.attempts.allocation]

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
        if not self.plan.trials:
            return
        number = 0
        while number < max((self.wanted(t) for t in self.plan.runnable), default=0):
            todo = [t for t in self.plan.runnable if self._wants(t, number)]
            random.Random(f"{self.plan.trials[0].config.run.order_seed}:{number}").shuffle(todo)
            for order, trial in enumerate(todo):
                while self._wants(trial, number):
                    self._attempt(workers, trial, number, order)
            number += 1
            self._write_plan()

    def _again(self, workers: Workers) -> bool:
        """Measure once more what others disturbed in this run, if the host is quiet now and time allows.

        Returns:
            Whether any was.
        """
        disturbed = [one for one in self._disturbed if self.ledger.is_done(one[0].trial_id, one[1])]
        if not disturbed:
            return False
        budget_s = self.plan.trials[0].config.run.remeasure * self.plan.estimated_s
        if not budget_s:
            return False
        if self.host.before(0.0, self._tick):
            self.progress.note(f"{len(disturbed)} replicas were disturbed; not again beside the same work")
            return False
        began = time.monotonic()
        for order, (trial, replica) in enumerate(disturbed):
            if time.monotonic() - began + trial.replica_s > budget_s:
                left = len(disturbed) - order
                self.progress.note(f"{left} disturbed replicas stay: run.remeasure allows {budget_s:.0f} s")
                return order > 0
            self._attempt(workers, trial, replica, order)
        return True

    def _write_plan(self) -> None:
        """Keep the plan beside the records; how many replicas a trial needs changes with its pilot.

        Blocks leave it as the first one wrote it: each knows the pilots of its own trials alone.
        """
        whole = self.whole or self.plan
        payload = plan_payload(whole, self.identity, self.wanted if self.lease is None else planned_replicas)
        try:
            there = self.store.read_plan(self.plan.sweep)
            same = payload == there or (self.lease is not None and there is not None)
        except StoreError:
            same = False  # what is there is no plan, whoever left it: this run's takes its place
        if not same:
            self.store.write_plan(self.plan.sweep, payload)

    def wanted(self, trial: PlannedTrial) -> int:
        """Return how many replicas the trial needs: the pilot's, then what the pilot's spread asks for."""
        return replicas_wanted(trial, self.ledger.ok(trial.trial_id))

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
        if self.lease is not None:
            self.lease.require()
        self.progress.started(trial, replica)
        self._tried.add((trial.trial_id, replica))
        started = time.monotonic()
        record = self.attempts.run(workers, trial, replica, order)
        self._walls.setdefault(trial.trial_id, []).append(time.monotonic() - started)
        self.ledger.add(record)
        self._left_s[trial.trial_id] = self._left_of(trial)
        if record.status == "harness":
            self._unjudged.add((trial.trial_id, replica))
        self.host.after(record)
        if record.status == "ok" and is_contended(record.evidence.get("contention") or {}):
            self._disturbed.append((trial, replica))
        self.progress.finished(record, self.remaining_s())

    def remaining_s(self) -> float:
        """Foretell the seconds that the rest takes, from the replicas that have run."""
        for trial in self.plan.runnable:
            if trial.trial_id not in self._left_s:
                self._left_s[trial.trial_id] = self._left_of(trial)
        return sum(self._left_s.values())

    def _left_of(self, trial: PlannedTrial) -> float:
        if self.ledger.last_failure(trial.trial_id) is not None:
            return 0.0
        walls = self._walls.get(trial.trial_id)
        each = sum(walls) / len(walls) if walls else trial.replica_s
        return each * max(0, self.wanted(trial) - len(self.ledger.ok(trial.trial_id)))
