"""What the steps of recorded work process, counted again from its configuration and sizes.

A record's sizes may be anybody's: batches of them are made in a process apart, under limits of memory, time
and files. The child is this module as a program: it reads a list of works as JSON from its standard input,
and writes a line for each to its standard output.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.config.models import Config
from harness.records.schema import Facts
from harness.trial.audit import config_of
from workloads import registry
from workloads.base import SERVE
from workloads.parallel.registry import BUILT_IN as STRATEGIES
from workloads.transform import NONE

COUNTED = ("samples", "tokens", "requests", "flops", "bytes")
"""Fields of units that follow from the workload alone, whatever is made of its model."""
_APART = frozenset({"user", "endpoint", "faults", "collectives"})
"""Ours whose units need a server, another's code or a group of ranks."""
_SECONDS, _SECONDS_EACH, _WORK_S = 15, 0.1, 2.0
"""CPU time of the process at most, for each work more, and of one work."""
_MORE_BYTES = 256 * 2**20
"""For batches, beyond what the libraries take."""


@dataclass(frozen=True, slots=True)
class Work:
    """One work of some record."""

    config: Facts
    size: Facts
    ranks: int


def why_not(config: Config, data: str | None) -> str | None:
    """Return why the units of a configuration cannot be counted here; None where they can.

    Args:
        config: of a record.
        data: digest of the real data that it read; None for synthetic data.
    """
    name = config.workload.name
    if name not in registry.BUILT_IN or name in _APART:
        return f"units of workload {name}"
    if config.parallel.name not in {NONE, *STRATEGIES} or config.device.kind == "xla":
        return f"units of parallel {config.parallel.name} on {config.device.kind}"
    if config.workload.mode == SERVE:
        return "units of the batches of a server"
    return None if data is None else "units of real data"


def count(works: Sequence[Work]) -> list[Facts]:
    """Return for each work `cycles`, for each rank what its steps process in turn, or the `reason` why not.

    Raises:
        OSError: no process can be started.
    """
    task = json.dumps([asdict(work) for work in works])
    paths = os.pathsep.join(filter(None, sys.path))
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "harness.trial.work_count"],
        input=task,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.endswith("}")]
    return found + [{"reason": "units of work that takes too long to count"}] * (len(works) - len(found))


def cycles(config: Config, size: Facts, ranks: int) -> list[list[Facts]]:
    """Return for each rank what its steps process in turn.

    Raises:
        ValueError, KeyError, UnsupportedError: it is no work of this version.
    """
    from workloads.base import Units
    from workloads.engine.job import RING, split
    from workloads.engine.setup import Chosen, Setup
    from workloads.parallel.base import Ranks

    w = config.workload
    workload = registry.get(w.name)(w.mode, size, seed=config.seed)
    found = []
    for rank in range(ranks):
        strategy = Setup(
            precision=config.precision.name,
            parallel=Chosen(config.parallel.name, config.parallel.settings),
            ranks=Ranks(rank, ranks),
        ).strategy()
        index, shares = strategy.shard
        turns = []
        for turn in range(RING):
            parts = split(workload.make_batch(turn, rank=index, world=shares), w.accumulate)
            units = sum(map(workload.units, parts), Units(0)) if strategy.counts else Units(0)
            turns.append({name: getattr(units, name) for name in COUNTED})
        found.append(turns)
    return found


def _answers(works: Sequence[Mapping[str, Any]]) -> Iterator[Facts]:
    def stop(_signal: int, _frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, stop)
    for work in works:
        signal.setitimer(signal.ITIMER_VIRTUAL, _WORK_S)
        try:
            config = config_of(work["config"])
            yield {"cycles": cycles(config, work["size"], int(work["ranks"]))}
        except Exception as error:  # noqa: BLE001 - sizes that are nobody's may fail in any way
            yield {"reason": f"units of work that cannot be counted here: {type(error).__name__}"}
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def main() -> None:
    """Count what standard input lists."""
    works = json.load(sys.stdin)
    seconds = round(_SECONDS + _SECONDS_EACH * len(works))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    import torch

    from workloads.engine import job  # noqa: F401 - before memory is limited

    torch.set_num_threads(1)
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel
        held = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (held + _MORE_BYTES, held + _MORE_BYTES))
    for answer in _answers(works):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
