"""What a scheduler gave this process: the job, the node and its fellow nodes, as the environment says.

Nodes are told apart by the scheduler's own names: several may be one host, and hosts may share a name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SCHEDULER, JOB, NODE = "JOULEMARK_SCHEDULER", "JOULEMARK_JOB", "JOULEMARK_NODE"
"""Where a scheduler without names of its own puts them: Ray's tasks and Kubernetes' templates set these."""
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")


@dataclass(frozen=True, slots=True)
class Allocation:
    """One start of one job on one node."""

    scheduler: str | None = None
    """`slurm`, `ray`, `kubernetes`, or what `JOULEMARK_SCHEDULER` says; None outside of any."""
    job: str | None = None
    """Of an array, with its task: `12_3`."""
    node: str | None = None
    restarts: int = 0
    """How often the scheduler has started this job again."""
    nodes: int = 1
    """How many nodes the job has."""

    def facts(self) -> dict[str, Any]:
        """Return plain data, as records keep it."""
        return asdict(self)


def allocation(environment: Mapping[str, str] = os.environ) -> Allocation:
    """Return what the environment says; what is no plain word there says nothing."""
    if SCHEDULER in environment:
        scheduler, job, node = (_word(environment.get(name)) for name in (SCHEDULER, JOB, NODE))
        return Allocation(scheduler, job, node)
    job = _word(environment.get("SLURM_JOB_ID"))
    if job is None:
        return Allocation()
    array, task = (_word(environment.get(f"SLURM_ARRAY_{part}_ID")) for part in ("JOB", "TASK"))
    restarts = environment.get("SLURM_RESTART_COUNT", "0")  # unset in the first run
    nodes = environment.get("SLURM_JOB_NUM_NODES", "1")
    return Allocation(
        "slurm",
        f"{array}_{task}" if array and task else job,
        _word(environment.get("SLURMD_NODENAME")),
        int(restarts) if restarts.isascii() and restarts.isdigit() else 0,
        int(nodes) if nodes.isascii() and nodes.isdigit() else 1,
    )


def _word(text: str | None) -> str | None:
    return text if text is not None and _WORD.fullmatch(text) else None
