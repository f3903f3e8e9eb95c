"""Slurm's own commands: submit an array of blocks, ask how its tasks stand, cancel it.

Every command line is a list, whose values were validated; nothing passes a shell but the constant script.
Accounting (`sacct`) is not needed: many clusters have none.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config.cluster import SlurmConfig
from harness.system.errors import ResourceError

SCRIPT = """\
#!/bin/sh
of=$1
shift
exec "$@" --block "$SLURM_ARRAY_TASK_ID/$of"
"""
"""What each task runs. `exec`: Slurm's signals go to the harness, which records the replica in flight."""
NEVER = frozenset(
    {
        *("PartitionNodeLimit", "PartitionTimeLimit", "PartitionConfig", "BadConstraints"),
        *("AccountNotAllowed", "InvalidAccount", "QOSNotAllowed", "InvalidQOS"),
        *("AssocMaxNodePerJobLimit", "AssocMaxWallDurationPerJobLimit", "QOSMaxNodePerJobLimit"),
        *("QOSMaxWallDurationPerJobLimit", "ReservationDeleted", "DependencyNeverSatisfied"),
    }
)
"""Reasons of `squeue` for which a pending job does not start until somebody changes the cluster."""
_QUEUED = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
_RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING"}
)
_JOB = re.compile(r"([0-9]{1,12})(;[A-Za-z0-9_.-]*)?")
_ASKED_S = 60.0


class SlurmError(ResourceError):
    """Slurm refused, or did not answer; one line in its own words."""


@dataclass(frozen=True, slots=True)
class Task:
    """One block's place in the queue."""

    state: str
    """Slurm's, e.g. `PENDING`, `RUNNING`, `TIMEOUT`."""
    reason: str
    node: str

    @property
    def is_queued(self) -> bool:
        """It waits to be started, or started again."""
        return self.state in _QUEUED

    @property
    def is_live(self) -> bool:
        """It runs or will run."""
        return self.is_queued or self.state in _RUNNING


def submission(
    config: SlurmConfig, *, name: str, blocks: Sequence[int], nodes: int, logs: Path, folder: Path
) -> list[str]:
    """Return the command line of `sbatch`, without what the script is to run.

    Args:
        config: what is asked for.
        name: of the sweep.
        blocks: their numbers.
        nodes: of one block's allocation.
        logs: an existing folder for what the tasks print.
        folder: where the tasks start.
    """
    limit = "" if config.at_once is None else f"%{config.at_once}"
    asked: dict[str, object] = {
        "partition": config.partition,
        "account": config.account,
        "qos": config.qos,
        "reservation": config.reservation,
        "constraint": config.constraint,
        "time": config.time,
        "gpus-per-node": config.gpus,
        "cpus-per-task": config.cpus,
        "mem": config.memory,
    }
    return [
        "sbatch",
        "--parsable",
        f"--job-name=joulemark-{name}",
        f"--array={_ranges(blocks)}{limit}",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--output={logs}/%A_%a.txt",
        "--open-mode=append",
        "--requeue",
        f"--chdir={folder}",
        *(f"--{key}={value}" for key, value in asked.items() if value is not None),
        *(["--exclusive"] if config.exclusive else []),
    ]


def submit(sbatch: Sequence[str], of: int, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Submit an array and return its id.

    Args:
        sbatch: from `submission`.
        of: blocks of the sweep.
        command: what each task runs; it gets `--block I/N`.
        environment: the tasks' own, as far as the cluster hands it on.

    Raises:
        SlurmError: it was refused.
    """
    # The script comes on standard input, as `/dev/stdin`: its arguments are the command's.
    told = _ask([*sbatch, "/dev/stdin", str(of), *command], SCRIPT, environment)
    found = _JOB.fullmatch(told.strip().splitlines()[-1] if told.strip() else "")
    if found is None:
        raise SlurmError(f"sbatch printed no job's id: {told.strip()[:200]!r}")
    return found[1]


def tasks(job: str) -> Mapping[int, Task]:
    """Return by block how the array's tasks stand; one that ended a while ago may be forgotten.

    Raises:
        SlurmError: Slurm does not answer.
    """
    asked = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%K|%T|%r|%N"]
    try:
        told = _ask(asked)
    except SlurmError as error:
        if "Invalid job id" in str(error):
            return {}
        raise
    found = {}
    for line in told.splitlines():
        block, *rest = line.strip().split("|")
        if block.isdigit() and len(rest) == 3:
            found[int(block)] = Task(*rest)
    return found


def cancel(job: str) -> None:
    """Cancel an array.

    Raises:
        SlurmError: Slurm does not answer.
    """
    _ask(["scancel", job])


def _ranges(numbers: Sequence[int]) -> str:
    """Write numbers as Slurm's list of ranges: `1-3,7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _ask(command: Sequence[str], text: str = "", environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, input=text, env=environment, capture_output=True, text=True, timeout=_ASKED_S, check=True
        )
    except FileNotFoundError:
        raise SlurmError(f"run.on=slurm: there is no {command[0]} on this host's path") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer within {_ASKED_S:.0f} s") from None
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if line.strip()]
        why = said[-1] if said else f"{command[0]} ended with code {error.returncode}"
        raise SlurmError(f"Slurm: {why}") from None
    return done.stdout
