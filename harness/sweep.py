"""Run a plan: rounds of replicas in a recorded random order, each in a worker, each leaving a record."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from harness.launch import Workers
from harness.ledger import Ledger
from harness.locks import device_lock, sweep_lock
from harness.plan import Plan, PlannedTrial
from harness.records.schema import Facts, Metric, Record, Status, WorkerFacts
from harness.records.store import Store
from harness.stats import StatsError, plan_replicas
from harness.supervise import Outcome

_OUT_OF_MEMORY = "the operating system killed the worker because memory ran out"


class Progress(Protocol):
    """What a sweep tells while it runs; see `harness.progress`."""

    def started(self, trial: PlannedTrial, replica: int) -> None:
        """A replica begins."""

    def tick(self) -> None:
        """About half a second has passed."""

    def finished(self, record: Record, left_s: float) -> None:
        """A replica has its record; `left_s` seconds are foretold for the rest."""

    def note(self, text: str) -> None:
        """Something worth one line."""


@dataclass
class Sweep:
    """One run of a plan on this machine."""

    plan: Plan
    store: Store
    machine: Facts
    code: Facts
    machine_id: str
    code_id: str
    progress: Progress
    workers: Callable[[], Workers] = Workers
    ledger: Ledger = field(init=False)
    _walls: dict[str, list[float]] = field(default_factory=dict)
    _tried: set[tuple[str, int]] = field(default_factory=set)

    def run(self) -> Ledger:
        """Run what is missing, and return what the disk then holds.

        Raises:
            StoreError: a record could not be written; everything written before it is in place.
            SweepBusyError: another process runs this sweep.
            KeyboardInterrupt: after the replica in flight has its record, and its processes are gone.
        """
        self.store.check_writable()
        with sweep_lock(self.store.root / self.plan.sweep):
            records, torn = self.store.records(self.plan.sweep)
            for bad in torn:
                self.progress.note(f"left out {bad.path}: {bad.reason}")
            self.ledger = Ledger.read(records, self.machine_id, self.code_id)
            known = {t.trial_id for t in self.plan.trials}
            foreign = [r for r in records if r.trial_id in known and not self._is_ours(r)]
            if foreign:
                self.progress.note(self._difference(foreign))
            self.store.write_plan(self.plan.sweep, plan_payload(self.plan, self.machine_id, self.code_id))
            self._record_refusals()
            with self.workers() as workers:
                self._rounds(workers)
        return self.ledger

    def _is_ours(self, record: Record) -> bool:
        return (record.machine_id, record.code_id) == (self.machine_id, self.code_id)

    def _difference(self, foreign: list[Record]) -> str:
        """Say what about earlier records keeps them from counting for this run."""
        last = max(foreign, key=lambda r: r.started_at)
        for what, mine, its in (("machine", self.machine, last.machine), ("code", self.code, last.code)):
            keys = sorted(k for k in {*mine, *its} if mine.get(k) != its.get(k))
            if keys and (last.machine_id != self.machine_id or what == "code"):
                some = ", ".join(keys[:6])
                return f"{len(foreign)} earlier records are of another {what} ({some}): measuring again"
        return f"{len(foreign)} earlier records are of another machine or code: measuring again"

    def _record_refusals(self) -> None:
        for trial in self.plan.refused:
            if trial.trial_id not in self.ledger.by_trial:
                outcome = Outcome(phase="plan")
                self._write(trial, 0, 0, "refused", trial.refusal, outcome, _now(), "none")

    def _rounds(self, workers: Workers) -> None:
        number = 0
        while number < max((self.wanted(t) for t in self.plan.runnable), default=0):
            todo = [t for t in self.plan.runnable if self._wants(t, number)]
            random.Random(f"{self.plan.trials[0].config.run.order_seed}:{number}").shuffle(todo)
            for order, trial in enumerate(todo):
                while self._wants(trial, number):
                    self._attempt(workers, trial, number, order)
            number += 1

    def wanted(self, trial: PlannedTrial) -> int:
        """Return how many replicas the trial needs: the pilot's, then what the pilot's spread asks for."""
        m = trial.config.measure
        pilot = self.ledger.ok(trial.trial_id)[: m.replicas]
        if len(pilot) < m.replicas or m.max_replicas == m.replicas:
            return m.replicas
        means = [metric.value for r in pilot if (metric := _planning_metric(r)) and metric.value]
        target = m.target_cpu if trial.config.device.kind == "cpu" else m.target_accelerator
        try:
            return plan_replicas(means, math.log1p(target), 0.95, m.max_replicas)
        except StatsError:
            return m.replicas

    def _wants(self, trial: PlannedTrial, replica: int) -> bool:
        """Tell whether this replica is still to be run, now."""
        if replica >= self.wanted(trial) or self.ledger.is_done(trial.trial_id, replica):
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
        attempt = self.store.next_attempt(self.plan.sweep, self.machine_id, trial.trial_id, replica)
        folder = self.store.attempt_dir(self.plan.sweep, self.machine_id, trial.trial_id, replica, attempt)
        folder.mkdir(parents=True, exist_ok=True)
        self.progress.started(trial, replica)
        self._tried.add((trial.trial_id, replica))
        config = trial.config
        limit = config.run.memory_limit_gib
        spec = {
            "config": config.model_dump(mode="json"),
            "size": dict(trial.size),
            "folder": str(folder),
        }
        started_at, started = _now(), time.monotonic()
        try:
            with device_lock(f"{config.device.kind}-{config.device.index}", self.progress.tick):
                outcome = workers.run(
                    spec,
                    folder,
                    worker=config.run.worker,
                    timeout_s=config.run.timeout_s,
                    memory_limit_bytes=None if limit is None else int(limit * 2**30),
                    on_wait=self.progress.tick,
                )
        except KeyboardInterrupt:
            workers.close()
            outcome = Outcome(wall_s=time.monotonic() - started, killed=1)
            self._write(
                trial,
                replica,
                attempt,
                "interrupted",
                "interrupted by the user",
                outcome,
                started_at,
                config.run.worker,
                order,
            )
            raise
        self._walls.setdefault(trial.trial_id, []).append(time.monotonic() - started)
        status, reason = judge(outcome, config.run.timeout_s)
        record = self._write(
            trial, replica, attempt, status, reason, outcome, started_at, config.run.worker, order
        )
        self.progress.finished(record, self.left_s())

    def _write(
        self,
        trial: PlannedTrial,
        replica: int,
        attempt: int,
        status: Status,
        reason: str | None,
        outcome: Outcome,
        started_at: str,
        worker: str,
        order: int = 0,
    ) -> Record:
        result = outcome.result or {}
        record = Record(
            sweep=self.plan.sweep,
            label=trial.label,
            work_id=trial.work_id,
            trial_id=trial.trial_id,
            machine_id=self.machine_id,
            code_id=self.code_id,
            replica=replica,
            attempt=attempt,
            round_order=order,
            status=status,
            phase="done" if status == "ok" else outcome.phase,
            reason=reason,
            started_at=started_at,
            wall_s=outcome.wall_s,
            config=trial.config.model_dump(mode="json") | {"overrides": list(trial.overrides)},
            machine=self.machine,
            code=self.code,
            metrics=tuple(Metric.model_validate(m) for m in result.get("metrics", ())),
            evidence=result.get("evidence", {}),
            series={name: tuple(values) for name, values in result.get("series", {}).items()},
            worker=WorkerFacts(
                kind=worker,  # type: ignore[arg-type]
                pid=outcome.pid,
                exit_code=outcome.exit_code,
                signal=outcome.signal,
                wall_s=outcome.wall_s,
                user_s=outcome.user_s,
                system_s=outcome.system_s,
                max_rss_bytes=outcome.max_rss_bytes,
                involuntary_switches=outcome.involuntary_switches,
                killed=outcome.killed,
            ),
            log_tail="" if status == "ok" else outcome.log_tail,
        )
        self.store.write(record)
        self.ledger.add(record)
        return record

    def left_s(self) -> float:
        """Foretell the seconds that the rest takes, from the replicas that have run."""
        left = 0.0
        for trial in self.plan.runnable:
            if self.ledger.last_failure(trial.trial_id) is None:
                walls = self._walls.get(trial.trial_id)
                each = sum(walls) / len(walls) if walls else trial.replica_s
                left += each * max(0, self.wanted(trial) - len(self.ledger.ok(trial.trial_id)))
        return left


def _planning_metric(record: Record) -> Metric | None:
    """Return the metric whose spread decides how many replicas are needed: the undisturbed where it is."""
    clean = record.metric("iteration.mean.clean")
    return clean if clean is not None and clean.value is not None else record.metric("iteration.mean")


def judge(outcome: Outcome, timeout_s: float) -> tuple[Status, str | None]:
    """Tell from what became of a worker how its attempt ended, and why."""
    if outcome.timed_out:
        return "hung", f"no end within {timeout_s:g} s (run.timeout_s); killed in phase {outcome.phase}"
    if outcome.oom_killed:
        return "oom", _OUT_OF_MEMORY
    if outcome.signal is not None:
        return "crashed", f"killed by {outcome.signal} in phase {outcome.phase}"
    if outcome.result is not None and outcome.exit_code == 0:
        return outcome.result["status"], outcome.result.get("reason")
    if outcome.problem is not None:
        return "crashed", outcome.problem
    return (
        "crashed",
        f"exited with code {outcome.exit_code} in phase {outcome.phase}, before there was a result",
    )


def plan_payload(plan: Plan, machine_id: str, code_id: str) -> dict[str, Any]:
    """Return the plan as plain data, as it is kept beside the records."""
    return {
        "sweep": plan.sweep,
        "overrides": list(plan.overrides),
        "machine_id": machine_id,
        "code_id": code_id,
        "foretold_s": plan.foretold_s,
        "trials": [
            {
                "label": t.label,
                "work_id": t.work_id,
                "trial_id": t.trial_id,
                "refusal": t.refusal,
                "replicas": t.config.measure.replicas,
                "overrides": list(t.overrides),
            }
            for t in plan.trials
        ],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
