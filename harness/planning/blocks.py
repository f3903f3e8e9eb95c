"""Blocks: a plan shared out among the jobs of a cluster, so that what is compared runs on one node."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Self

from harness.planning.plan import Plan, PlannedTrial
from harness.system.errors import UsageError

MOST = 1000
"""Blocks of a sweep: Slurm takes array indices up to 1000 where nobody allowed more (`MaxArraySize`)."""


@dataclass(frozen=True, slots=True)
class Block:
    """One of the parts of a plan, counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `I/N`.

        Raises:
            UsageError: it is no such text, or I does not lie between 1 and N.
        """
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MOST:
            raise UsageError(f"--block {text}: write I/N with 1 ≤ I ≤ N ≤ {MOST}, e.g. 2/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def most_blocks(plan: Plan) -> int:
    """Return into how many blocks a plan can be shared out: one for each comparison, at most `MOST`."""
    return min(MOST, len(_comparisons(plan)))


def shared_out(plan: Plan, of: int) -> list[Plan]:
    """Return `of` plans that hold every trial of `plan` once, in its order.

    Trials that differ only in how the same work is run (compression, strategy, precision, optimisation,
    device) stay together. Blocks get equal shares of the estimated time as far as that allows: the longest
    comparison first, to the block with the least. The same plan gives the same blocks on every host.
    """
    comparisons = sorted(_comparisons(plan), key=lambda trials: -sum(map(_weight, trials)))
    loads, homes = [0.0] * of, dict[str, int]()
    for trials in comparisons:
        least = min(range(of), key=loads.__getitem__)
        loads[least] += sum(map(_weight, trials))
        homes.update((trial.trial_id, least) for trial in trials)
    return [
        replace(plan, trials=tuple(t for t in plan.trials if homes[t.trial_id] == number))
        for number in range(of)
    ]


def _comparisons(plan: Plan) -> list[list[PlannedTrial]]:
    found: dict[str, list[PlannedTrial]] = defaultdict(list)
    for trial in plan.trials:
        # A refused trial has no part in the key or the weight: what is refused depends on the host.
        config = trial.config.model_dump(mode="json", include={"workload", "seed"})
        for key in ("optimizer", "lr"):
            config["workload"].pop(key)
        found[json.dumps(config, sort_keys=True)].append(trial)
    return list(found.values())


def _weight(trial: PlannedTrial) -> float:
    return trial.replica_s * trial.config.measure.replicas
