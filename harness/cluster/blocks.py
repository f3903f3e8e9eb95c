"""What every scheduler runs and how its end is judged: blocks that have trials left, by the records alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.jobs import Jobs, same_code
from harness.execution.ledger import Ledger, replicas_wanted
from harness.execution.places import chosen
from harness.identity.machine import Identity
from harness.isolation.workers import IMPORT_FROM
from harness.planning.blocks import most_blocks, shared_out
from harness.planning.plan import Plan, PlannedTrial, plan_payload
from harness.records.chain import plan_digest
from harness.records.store import Store
from harness.system.errors import UsageError


@dataclass(frozen=True, slots=True)
class Spread:
    """A sweep that is shared out among the jobs of a cluster."""

    plan: Plan
    store: Store
    identity: Identity
    of: int

    @classmethod
    def over(cls, plan: Plan, store: Store, identity: Identity, blocks: int | None) -> Spread:
        """Share a plan out into blocks; None makes one for each comparison.

        Raises:
            UsageError: the trials depend on this host, or need unlike allocations.
        """
        if not all(_names_device(trial) for trial in plan.trials):
            raise UsageError(
                "device=auto is what this host has: name the device of the nodes, e.g. device=cuda"
            )
        most = most_blocks(plan)
        return cls(plan, store, identity, min(most, blocks or most))

    def wanted(self, trial: PlannedTrial, ledger: Ledger) -> int:
        """Return how many replicas a trial needs by now."""
        return replicas_wanted(trial, ledger.ok(trial.trial_id))

    def left(self, ledger: Ledger) -> dict[int, list[PlannedTrial]]:
        """Return by block the trials that lack replicas, without those whose failure is not retried."""
        found = {}
        for number, block in enumerate(shared_out(self.plan, self.of), 1):
            trials = [t for t in block.trials if self._is_left(t, ledger)]
            if trials:
                found[number] = trials
        return found

    def _is_left(self, trial: PlannedTrial, ledger: Ledger) -> bool:
        state = ledger.state(trial.trial_id, None, self.wanted(trial, ledger))
        return state in {"waiting", "partial"} or (state == "failed" and trial.config.run.retry_failed)

    def jobs(self, scheduler: str, job: str, blocks: Sequence[int]) -> Jobs:
        """Return what to keep of a submission."""
        return Jobs(
            scheduler=scheduler, job=job, of=self.of, blocks=list(blocks), plan=self.digest,
            code=same_code(self.identity.code),
        )  # fmt: skip

    @property
    def digest(self) -> str:
        """Of the plan."""
        return plan_digest(plan_payload(self.plan, self.identity))

    def ledger(self) -> Ledger:
        """Read what the records of all nodes say; each trial is judged by one node's."""
        records, _ = self.store.records(self.plan.sweep)
        here = same_code(self.identity.code)
        return chosen(records, lambda record: same_code(record.code) == here)

    def keep_plan(self, ledger: Ledger | None = None) -> None:
        """Keep the plan beside the records, with the replicas that the trials need by now."""
        wanted = Ledger("", {}) if ledger is None else ledger
        self.store.write_plan(
            self.plan.sweep,
            plan_payload(self.plan, self.identity, lambda trial: self.wanted(trial, wanted)),
        )

    def command(self, config_dirs: Sequence[str]) -> list[str]:
        """Return what a job runs, without `--block`: this command, by this interpreter, into this folder."""
        return [
            *(sys.executable, "-P", "-m", "harness.cli", "run"),
            *(word for folder in config_dirs for word in ("--config-dir", os.path.abspath(folder))),  # noqa: PTH100
            *(word for word in self.plan.overrides if not word.startswith(("run.on=", "run.results="))),
            "run.on=local",
            f"run.results={_quoted(self.store.root)}",
        ]

    def environment(self) -> dict[str, str]:
        """Return what a job's environment holds beside the scheduler's: where the user's own models lie."""
        own = {} if sys.flags.safe_path or IMPORT_FROM in os.environ else {IMPORT_FROM: str(Path.cwd())}
        return {**os.environ, **own}


def _names_device(trial: PlannedTrial) -> bool:
    words = [word.lstrip("+").partition("=") for word in trial.overrides]
    kinds = [value for key, _, value in words if key in {"device", "device.kind"}]
    return bool(kinds) and kinds[-1] != "auto"


def _quoted(path: Path) -> str:
    """Write a path as a value in Hydra's grammar, whatever characters it has."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
