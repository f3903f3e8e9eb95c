"""A trial as the report sees it: its group, and a name that tells it from the others of the group."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.records.headline import HEADLINES
from harness.records.machines import machine_names
from harness.records.numbers import EN_DASH
from harness.records.results import TrialResult
from harness.report.text import line

MODES = ("train", "finetune", "infer", "prefill", "decode", "generate", "serve")
"""The order in which modes stand; others follow."""

_NUMBERED = re.compile(r"([^0-9]*)([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Trial:
    """One result with its names, all of them safe to show."""

    result: TrialResult
    workload: str
    """Workload and size, e.g. `gpt tiny`."""
    mode: str
    config: str
    """What tells it from the other trials of the same workload, mode and size."""
    where: str
    """Machine and sweep, where the report holds more than one; else empty."""
    within_run_only: bool
    machine: str = ""
    """What its machine is called."""
    colour: int = 0
    """Place of its machine among all of the report, by which it has one colour in every figure."""

    @property
    def name(self) -> str:
        """Everything that names it, in one line."""
        parts = [self.workload, self.mode, self.config, self.where]
        return " ".join(p for p in parts if p and p != EN_DASH)


def _place(trial: Trial) -> tuple[str, int, str, list[tuple[str, int]], str]:
    mode = MODES.index(trial.mode) if trial.mode in MODES else len(MODES)
    return trial.workload, mode, trial.mode, _by_number(trial.config), trial.where


def _by_number(text: str) -> list[tuple[str, int]]:
    """Return a key by which a batch of 4 stands before one of 16."""
    return [(words, int(digits or 0)) for words, digits in _NUMBERED.findall(text)]


def fact(facts: Mapping[str, Any], *path: str) -> Any:
    """Return the value at a path of nested mappings, or None."""
    value: Any = facts
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def letters(ids: Sequence[str]) -> dict[str, str]:
    """Name sets of software by letters in the order they first appear: A … Z, then A1, B1, …."""
    unique = dict.fromkeys(ids)
    return {key: chr(65 + i % 26) + (str(i // 26) if i >= 26 else "") for i, key in enumerate(unique)}


def trials(results: Sequence[TrialResult]) -> list[Trial]:
    """Name every result, in an order that does not depend on how the records were found.

    Two results of a group never share a name.
    """
    machines = machine_names(record for r in results for record in r.records)
    places = {machine: i for i, machine in enumerate(machines)}
    sweeps = {r.sweep for r in results}
    codes = letters([r.code_id for r in results])
    # Two machines differ in their software too; it is named where one machine ran several.
    several = len({(r.machine_id, r.code_id) for r in results}) > len(machines)
    named = []
    for r in results:
        workload, mode, size = (
            line(fact(r.config, "workload", k) or "", 40) for k in ("name", "mode", "size")
        )
        where = [
            machines[r.machine_id] if len(machines) > 1 else "",
            line(r.sweep, 40) if len(sweeps) > 1 else "",
            f"software {codes[r.code_id]}" if several else "",
        ]
        named.append(
            Trial(
                result=r,
                workload=f"{workload} {size}".strip() or line(r.label, 60) or "unnamed",
                mode=mode or EN_DASH,
                config=_config(r, {workload, mode, size}),
                where=" · ".join(w for w in where if w),
                within_run_only=fact(r.config, "measure", "within_run_only") is True,
                machine=machines[r.machine_id],
                colour=places[r.machine_id],
            )
        )
    shared = Counter(t.name for t in named)
    told_apart = [
        replace(t, config=f"{t.config} · {t.result.trial_id[:8]}") if shared[t.name] > 1 else t for t in named
    ]
    return sorted(told_apart, key=_place)


def groups(named: Sequence[Trial]) -> dict[tuple[str, str], list[Trial]]:
    """Gather trials by workload, size and mode, in the order they first appear; workloads stay together."""
    by_workload: dict[str, dict[str, list[Trial]]] = defaultdict(dict)
    for t in named:
        by_workload[t.workload].setdefault(t.mode, []).append(t)
    return {(w, mode): members for w, modes in by_workload.items() for mode, members in modes.items()}


def headline(members: Sequence[Trial]) -> str:
    """The throughput that a group is ranked by: the one that most of its trials have a value for."""
    held = [t.result.estimates for t in members]
    best, most = HEADLINES[0], 0
    for metric in HEADLINES:
        count = sum((e := each.get(metric)) is not None and e.value is not None for each in held)
        if count > most:
            best, most = metric, count
        if most == len(held):
            break
    return best


def _config(result: TrialResult, said: set[str]) -> str:
    words = [w for w in line(result.label, 120).split() if w not in said]
    return " ".join(words) or line(fact(result.config, "precision", "name") or "as configured", 40)
