"""One attempt at one replica: run it in a worker, judge how that ended, write its record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.config import placement
from harness.config.models import Config
from harness.identity.machine import Identity
from harness.isolation.protocol import Outcome, ReplicaSpec
from harness.isolation.workers import Workers
from harness.planning.plan import PlannedTrial
from harness.planning.private import hidden
from harness.records.certificates import certificate_facts
from harness.records.chain import Chain
from harness.records.evidence import declared
from harness.records.loop import discard_raw, pack
from harness.records.schema import Facts, Metric, Record, Status, WorkerFacts
from harness.records.store import Store
from harness.records.store_errors import advised
from harness.system.errors import DISK_LIMITS
from harness.system.inside import require_inside
from harness.system.interrupts import whole
from harness.system.locks import device_locks
from harness.system.threads import resolve_wait

NO_PLAN = "0" * 64
"""The digest of the plan where there is none."""
_TRIES, _BETWEEN_S = 3, 1.0
"""How often a replica is tried where the harness fails, and how long it waits for its host to recover."""
_OUT_OF_MEMORY = "the operating system killed the worker because memory ran out"


@dataclass
class Attempts:
    """Makes attempts for one sweep, on one machine with one code."""

    sweep: str
    store: Store
    identity: Identity
    on_wait: Callable[[], None] = lambda: None
    """Called about twice per second while waiting, to draw progress."""
    session: Callable[[PlannedTrial], Facts] = lambda _trial: {}
    """Evidence about the whole session, e.g. `soak`: every record gets it, and every worker is told it."""
    note: Callable[[str], None] = lambda _text: None
    """Told what the run waits for, once."""
    still_mine: Callable[[], None] = lambda: None
    """Raises where the sweep's folder is no longer the one that this process holds."""
    wait_policy: Callable[[Config], str] = lambda config: resolve_wait(config.device.wait)
    """How the threads of a replica's worker are to wait at barriers."""
    chain: Chain = field(default_factory=lambda: Chain(NO_PLAN))
    """What every record is sealed into; it goes on from the last record of the sweep on this machine."""
    allocation: Facts | None = None
    """What a scheduler gave this process, and which block it runs."""
    _certificates: dict[tuple[str, int], Facts] = field(default_factory=dict)

    def run(self, workers: Workers, trial: PlannedTrial, replica: int, order: int) -> Record:
        """Run one replica and return its record.

        Args:
            workers: where it runs.
            trial: what is run.
            replica: its number within the trial.
            order: its place in the recorded random order.

        Raises:
            StoreError: the record could not be written.
            KeyboardInterrupt: after the replica in flight has its record, and its processes are gone.
        """
        attempt = self._claim(trial, replica)
        place = (self.sweep, self.identity.machine_id, trial.trial_id, replica, attempt)
        folder = self.store.attempt_dir(*place)
        config = trial.config
        started_at, started = _now(), time.monotonic()
        try:
            with device_locks(placement.device_names(config), self.on_wait, self.note):
                outcome = self._tried(workers, trial, replica, folder)
        except KeyboardInterrupt:
            workers.close()
            with advised(self.store.root):
                discard_raw(folder)
            outcome = Outcome(wall_s=time.monotonic() - started, killed=1)
            why = "interrupted by the user"
            self._write(trial, replica, attempt, order, "interrupted", why, outcome, started_at)
            raise
        with whole():  # what has ended has its record; DuckDB would make another error of an interrupt
            with advised(self.store.root):
                pack(folder, whole=outcome.exit_code == 0 and outcome.result is not None)
            status, reason = judge(outcome, config.run.timeout_s)
            return self._write(trial, replica, attempt, order, status, reason, outcome, started_at)

    def _tried(self, workers: Workers, trial: PlannedTrial, replica: int, folder: Path) -> Outcome:
        """Run a replica; where the harness fails, run it again, with whatever was left removed.

        Raises:
            StoreError: the worker's log cannot be kept either: the next record could not.
        """
        run = trial.config.run
        spec = ReplicaSpec(
            trial.payload, trial.size, replica, str(folder), self._session(trial), raw_loop=True
        )
        limit = run.memory_limit_gib
        for last in (*[False] * (_TRIES - 1), True):
            self.still_mine()
            require_inside(self.store.root, folder)
            with advised(self.store.root):
                folder.mkdir(parents=True, exist_ok=True)
            outcome = workers.run(
                spec,
                folder,
                worker=run.worker,
                wait=self.wait_policy(trial.config),
                timeout_s=run.timeout_s,
                memory_limit_bytes=None if limit is None else int(limit * 2**30),
                on_wait=self.on_wait,
            )
            if last and outcome.harness and outcome.errno in DISK_LIMITS:
                with advised(self.store.root):
                    raise OSError(outcome.errno, os.strerror(outcome.errno))
            status, reason = judge(outcome, run.timeout_s)
            if last or status != "harness":
                break
            self.note(f"{reason}: trying again")
            time.sleep(_BETWEEN_S)
        return outcome

    def _claim(self, trial: PlannedTrial, replica: int) -> int:
        """Return the number of a new attempt, whose folder no other process on any node has."""
        self.still_mine()
        where = (self.sweep, self.identity.machine_id, trial.trial_id, replica)
        while True:
            attempt = self.store.next_attempt(*where)
            folder = self.store.attempt_dir(*where, attempt)
            require_inside(self.store.root, folder)
            with advised(self.store.root):
                folder.parent.mkdir(parents=True, exist_ok=True)
                try:
                    folder.mkdir()  # whole or not at all on a network file system too
                except FileExistsError:
                    continue
                return attempt

    def _session(self, trial: PlannedTrial) -> Facts:
        device = trial.config.device
        if (device.kind, device.index) not in self._certificates:
            found = certificate_facts(
                self.store,
                self.identity.machine_id,
                device.kind,
                device.index,
                self.identity.driver(device.kind),
            )
            self._certificates[device.kind, device.index] = found
        known = declared(__name__, {"certificate": self._certificates[device.kind, device.index]})
        return known | self._allocation() | self.session(trial)

    def _allocation(self) -> Facts:
        return {} if self.allocation is None else declared(__name__, {"allocation": self.allocation})

    def refuse(self, trial: PlannedTrial) -> Record:
        """Write the record of a cell that the plan refused."""
        outcome = Outcome(phase="plan")
        attempt = self._claim(trial, 0)
        return self._write(trial, 0, attempt, 0, "refused", trial.refusal, outcome, _now(), worker="none")

    def _write(
        self,
        trial: PlannedTrial,
        replica: int,
        attempt: int,
        order: int,
        status: Status,
        reason: str | None,
        outcome: Outcome,
        started_at: str,
        *,
        worker: str | None = None,
    ) -> Record:
        told = {"result": outcome.result or {}, "reason": reason, "log_tail": outcome.log_tail}
        told, identity = hidden(told, trial.payload), self.identity.using(trial.libraries)
        result = told["result"]
        folder = self.store.attempt_dir(self.sweep, identity.machine_id, trial.trial_id, replica, attempt)
        with advised(self.store.root):
            _clean(folder / "log.txt", trial.payload)
        planned_here = trial.external_config is None
        record = Record(
            sweep=self.sweep,
            label=trial.label,
            work_id=trial.work_id,
            trial_id=trial.trial_id,
            machine_id=identity.machine_id,
            code_id=identity.code_id,
            replica=replica,
            attempt=attempt,
            round_order=order,
            status=status,
            phase="done" if status == "ok" else outcome.phase,
            reason=told["reason"],
            started_at=started_at,
            wall_s=outcome.wall_s,
            config=trial.recorded,
            machine=identity.machine,
            code=identity.code,
            metrics=tuple(Metric(**m) for m in result.get("metrics", ())),
            evidence=self._session(trial) | result.get("evidence", {}),
            series={name: tuple(values) for name, values in result.get("series", {}).items()},
            worker=_facts(outcome, worker or trial.config.run.worker),
            log_tail="" if status == "ok" else told["log_tail"],
            seal=self.chain.seal(
                folder,
                dict(trial.size) if planned_here else None,
                trial.data_digest,
            ),
        )
        self._keep(record)
        return record

    def _keep(self, record: Record) -> None:
        """Write a record into the folder that this process holds, and go on from it."""
        with whole():
            self.still_mine()
            self.store.write(record)
            self.chain.written(record.sha256)


def judge(outcome: Outcome, timeout_s: float) -> tuple[Status, str | None]:
    """Tell from what became of a worker how its attempt ended, and why."""
    if outcome.harness:
        return "harness", outcome.problem or _not_begun(outcome)
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


def _clean(log: Path, payload: Mapping[str, Any]) -> None:
    """Let a worker's log name nothing private."""
    if log.is_file() and not log.is_symlink():
        text = log.read_bytes().decode(errors="replace")
        if (kept := hidden(text, payload)) != text:
            log.write_bytes(kept.encode())


def _facts(outcome: Outcome, kind: str) -> WorkerFacts:
    """Return what the operating system reported of a worker."""
    return WorkerFacts(
        kind=kind,  # type: ignore[arg-type]
        pid=outcome.pid,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        wall_s=outcome.wall_s,
        user_s=outcome.user_s,
        system_s=outcome.system_s,
        max_rss_bytes=outcome.max_rss_bytes,
        involuntary_switches=outcome.involuntary_switches,
        killed=outcome.killed,
    )


def _not_begun(outcome: Outcome) -> str:
    how = f"was killed by {outcome.signal}" if outcome.signal else f"exited with code {outcome.exit_code}"
    return f"the worker {how} before it began"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
