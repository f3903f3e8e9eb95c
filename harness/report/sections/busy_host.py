"""The first words of a verdict over trials that others on the host disturbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from harness.records.schema import Record
from harness.report.text import plural
from harness.report.trials import Trial
from harness.system.contention import is_contended


def busy_host(trials: Sequence[Trial]) -> str | None:
    """Say how many trials others disturbed and what they used; None where they disturbed none."""
    seen = [found for trial in trials if (found := _contention(trial))]
    if not seen:
        return None
    known = [(float(f["others_cpus"]), f.get("cpus")) for f in seen if _is_number(f.get("others_cpus"))]
    used = ""
    if known:
        (most, cpus), typical = max(known), sorted(known)[(len(known) - 1) // 2][0]
        reach = f"{typical:.1f}" + ("" if f"{most:.1f}" == f"{typical:.1f}" else f", at most {most:.1f}")
        used = f": others used {reach} of {cpus} CPUs"
        if f"{most:.1f}" == "0.0":
            used = ", though others used no CPU worth naming: threads that could have run had none"
    ran = plural(len(trials), "trial")
    many = f"All {ran}" if len(seen) == len(trials) else f"{len(seen)} of {ran}"
    return (
        f"The machine was busy{used}. {many} "
        "ran beside other work: their throughput is what was left of the machine, not what it can do. "
        "Close other work and run the sweep again before comparing."
    )


def _contention(trial: Trial) -> Mapping[str, Any] | None:
    """Return the worst contention of the replicas that count, None where none was disturbed."""
    found = [c for record in trial.result.replicas() if (c := _of(record)) is not None and is_contended(c)]
    return max(found, key=_others, default=None)


def _of(record: Record) -> Mapping[str, Any] | None:
    contention = record.evidence.get("contention")
    return contention if isinstance(contention, dict) else None


def _others(contention: Mapping[str, Any]) -> float:
    others = contention.get("others_cpus")
    return float(others) if _is_number(others) else 0.0


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float | int) and not isinstance(value, bool)
