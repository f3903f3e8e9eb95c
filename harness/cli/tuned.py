"""A sweep that is searched by halving instead of measured whole, and what it found in words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from harness.advice.halving import Found, search
from harness.execution.sweep import Sweep
from harness.planning.plan import Plan
from harness.records.estimates import trial_results
from harness.records.numbers import quantity
from harness.records.results import TrialResult


def tuned(plan: Plan, objective: str, run: Callable[[Plan], Sweep]) -> tuple[list[Found], Sweep]:
    """Search a plan; return what was found and the last sweep that was run.

    Args:
        plan: every configuration.
        objective: see `harness.advice.halving.search`.
        run: runs what is missing of a plan.
    """
    sweeps: list[Sweep] = []

    def measure(part: Plan) -> Sequence[TrialResult]:
        sweeps.append(run(part))
        held = sweeps[-1].ledger.by_trial.values()
        return trial_results(r for replicas in held for attempts in replicas.values() for r in attempts)

    if not plan.runnable:
        return [], run(plan)
    found = search(plan, objective, measure, lambda text: print(f"tune: {text}", file=sys.stderr))
    return found, sweeps[-1]


def winner(found: Found) -> str:
    """Say what won one piece of work, and by what."""
    if not found.finalists:
        return f"{found.work}: no finalist has a valid value of {found.metric}"
    best = found.finalists[0]
    e = best.estimates[found.metric]
    value = quantity(e.value or 0.0, e.unit, e.low, e.high).whole
    if not found.keeps:
        return f"{found.work}: no finalist keeps the limits; the nearest is {best.label} at {value}"
    tied = f", tied with {found.tied} more: their replicas do not tell them apart" if found.tied else ""
    return f"{found.work}: best is {best.label} at {value}{tied}"
