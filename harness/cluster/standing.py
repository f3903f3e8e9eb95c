"""How the blocks of a submission stand: by the scheduler's word, else by who holds a lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.cluster import slurm
from harness.cluster.jobs import Jobs
from harness.execution.lease import live_blocks

State = Literal["queued", "running", "ended", "unknown"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One block of a submission."""

    job: str
    block: str
    """`I/N`."""
    state: State
    node: str | None = None
    reason: str | None = None
    """In the scheduler's words, where it has any."""


def standings(jobs: Jobs, folder: Path) -> list[Standing]:
    """Return how the blocks of a sweep's newest submission stand.

    Args:
        jobs: the submission.
        folder: of the sweep.
    """
    if jobs.scheduler == "slurm":
        try:
            return of_slurm(jobs, slurm.tasks(jobs.job))
        except slurm.SlurmError as error:
            return [Standing(jobs.job, f"{b}/{jobs.of}", "unknown", reason=str(error)) for b in jobs.blocks]
    live = live_blocks(folder)
    names = [f"{block}/{jobs.of}" for block in jobs.blocks]
    return [
        Standing(jobs.job, name, "running" if name in live else "unknown", live.get(name)) for name in names
    ]


def of_slurm(jobs: Jobs, tasks: Mapping[int, slurm.Task]) -> list[Standing]:
    """Return how the blocks stand by Slurm's queue; what it has forgotten has ended."""
    found = []
    for block in jobs.blocks:
        task = tasks.get(block)
        name = f"{block}/{jobs.of}"
        if task is None:
            found.append(Standing(jobs.job, name, "ended"))
        elif task.is_queued:
            found.append(Standing(jobs.job, name, "queued", reason=task.reason))
        elif task.is_live:
            found.append(Standing(jobs.job, name, "running", task.node))
        else:
            found.append(Standing(jobs.job, name, "ended", task.node, task.state))
    return found


def told(blocks: Sequence[Standing]) -> str:
    """Say in one line how the blocks of one submission stand."""
    parts = []
    for state in ("running", "queued", "ended", "unknown"):
        mine = [block for block in blocks if block.state == state]
        if not mine:
            continue
        nodes = sorted({block.node for block in mine if block.node})
        reasons = [reason for reason, _ in Counter(b.reason for b in mine if b.reason).most_common(3)]
        where = f" on {', '.join(nodes[:8])}{' and more' * (len(nodes) > 8)}" if nodes else ""
        why = f" ({', '.join(reasons)})" if reasons else ""
        parts.append(f"{len(mine)} {state}{where}{why}")
    return f"job {blocks[0].job}, {len(blocks)} block{'s' * (len(blocks) != 1)}: {'; '.join(parts)}"
