"""A sweep on Slurm: submit what is left or join what runs, watch the queue; the records judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster import slurm
from harness.cluster.blocks import Spread
from harness.cluster.jobs import Jobs
from harness.cluster.standing import of_slurm, told
from harness.execution.ledger import Ledger
from harness.system.errors import UsageError, access_to
from harness.system.inside import require_inside

LOGS = "slurm"
_FIRST_LOOK_S, _LOOK_S = 1.0, 30.0
_CERTAIN = 3
"""Looks in a row at which Slurm says that it will never start a block, before that is believed."""
_SILENT_S = 900.0
"""How long Slurm may leave questions unanswered, as while its controller is restarted."""


@dataclass
class SlurmSweep:
    """One sweep, from submission to the last block's end."""

    spread: Spread
    config_dirs: tuple[str, ...] = ()
    note: Callable[[str], None] = lambda _text: None
    sleep: Callable[[float], None] = time.sleep
    now_s: Callable[[], float] = time.monotonic
    _said: str = field(default="", init=False)

    def run(self) -> Ledger:
        """Submit or join, watch until no block is queued or runs, and return what the disk then holds.

        Raises:
            UsageError: the sweep runs with another plan, or Slurm will never start it.
            SlurmError: Slurm refused, or has not answered for long.
            KeyboardInterrupt: the jobs go on; a line has said how to cancel them.
        """
        jobs = self._joined() or self._submitted()
        if jobs is not None:
            try:
                self._watch(jobs)
            except KeyboardInterrupt:
                self.note(
                    f"job {jobs.job} goes on without this command: `scancel {jobs.job}` cancels it, the same "
                    "command joins it"
                )
                raise
        ledger = self.spread.ledger()
        self.spread.keep_plan(ledger)
        return ledger

    def _joined(self) -> Jobs | None:
        """Return the submission that is queued or runs."""
        jobs = Jobs.read(self.spread.store, self.spread.plan.sweep)
        if jobs is None or jobs.scheduler != "slurm":
            return None
        live = [task for task in slurm.tasks(jobs.job).values() if task.is_live]
        if not live:
            return None
        if jobs.plan != self.spread.digest:
            raise UsageError(
                f"sweep {self.spread.plan.sweep} runs as job {jobs.job} with other trials: cancel it with "
                f"`scancel {jobs.job}`, or give this one another name with run.name="
            )
        self.note(f"joining job {jobs.job}; blocks left: {len(live)}")
        return jobs

    def _submitted(self) -> Jobs | None:
        """Submit the blocks that have trials left; None where there is none."""
        spread = self.spread
        ledger = spread.ledger()
        left = spread.left(ledger)
        if not left:
            return None
        spread.store.check_writable()
        spread.keep_plan(ledger)
        trials = [trial for block in left.values() for trial in block]
        config = trials[0].config.run.slurm
        needed = max(trial.config.parallel.nodes for trial in trials)
        if config.nodes is not None and config.nodes < needed:
            raise UsageError(f"run.slurm.nodes={config.nodes}: a trial needs {needed} nodes (parallel.nodes)")
        logs = spread.store.sweep_dir(spread.plan.sweep) / LOGS
        require_inside(spread.store.root, logs)
        with access_to(logs):
            logs.mkdir(parents=True, exist_ok=True)
        asked = slurm.submission(
            config, name=spread.plan.sweep, blocks=list(left), nodes=config.nodes or needed, logs=logs,
            folder=Path.cwd(),
        )  # fmt: skip
        job = slurm.submit(asked, spread.of, spread.command(self.config_dirs), spread.environment())
        jobs = spread.jobs("slurm", job, list(left))
        jobs.write(spread.store, spread.plan.sweep)
        self.note(
            f"job {job}: {len(trials)} trials in {len(left)} block{'s' * (len(left) != 1)}; Ctrl-C leaves it "
            f"running, `joulemark status {spread.plan.sweep}` shows it"
        )
        return jobs

    def _watch(self, jobs: Jobs) -> None:
        look_s, never, answered = _FIRST_LOOK_S, 0, self.now_s()
        last: Mapping[int, slurm.Task] = {}
        while True:
            try:
                tasks = slurm.tasks(jobs.job)
            except slurm.SlurmError:
                if self.now_s() - answered > _SILENT_S:
                    raise
            else:
                answered = self.now_s()
                last = {**last, **tasks}
                live = [task for task in tasks.values() if task.is_live]
                self._say(told(of_slurm(jobs, tasks)))
                if not live:
                    break
                stuck = [t for t in live if t.is_queued and t.reason in slurm.NEVER]
                never = never + 1 if len(stuck) == len(live) else 0
                if never == _CERTAIN:
                    self._give_up(jobs, stuck[0].reason)
            self.sleep(look_s)
            look_s = min(_LOOK_S, 1.5 * look_s)
        for block, task in sorted(last.items()):
            if task.state not in {"COMPLETED", "FAILED"}:
                self._say(f"block {block}/{jobs.of} ended {task.state} on {task.node or 'no node'}")

    def _give_up(self, jobs: Jobs, reason: str) -> None:
        slurm.cancel(jobs.job)
        raise UsageError(
            f"Slurm will never start job {jobs.job} ({reason}): what run.slurm asks for is not there; "
            "it is cancelled"
        )

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.note(text)
