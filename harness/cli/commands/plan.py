"""`joulemark plan`: every trial with its identity, the refused cells with their reasons, and the time."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.output import print_json, print_table
from harness.cli.plan_warnings import warnings
from harness.devices import registry as devices
from harness.execution.progress import duration
from harness.identity.machine import identify
from harness.planning.plan import Plan, PlannedTrial, make_plan
from harness.records import open_store, query

if TYPE_CHECKING:
    from workloads.engine.requirements import Needs

_COMPILE_SQL = """
SELECT work_id, median(value) FROM metrics
WHERE metric_id = 'time.compile' AND value IS NOT NULL GROUP BY work_id
"""


def main(options: argparse.Namespace) -> int:
    """Print the plan; 2 when every cell is refused."""
    plan = make_plan(options.overrides, user_folders=[Path(d) for d in options.config_dir])
    needed = _needs(plan.runnable) if options.needs else {}
    if options.json:
        print_json(_plain_plan(plan, needed if options.needs else None))
        return 0 if plan.runnable else 2
    print_table(
        ["trial", "work_id", "trial_id", "replicas", "least time"],
        [
            [
                t.label,
                t.work_id,
                t.trial_id,
                t.config.measure.replicas,
                duration(t.replica_s * t.config.measure.replicas),
            ]
            for t in plan.runnable
        ],
        title=f"sweep {plan.sweep}",
    )
    if options.needs:
        print()
        _print_needs(plan.runnable, needed)
    if plan.refused:
        print()
        print_table(["refused", "reason"], [[t.label, t.refusal] for t in plan.refused])
    _print_times(plan)
    least = {i: n.least_bytes for i, n in needed.items() if not isinstance(n, str)}
    for words in warnings(plan.runnable, least, identify()):
        print(f"warning: {words}")
    return 0 if plan.runnable else 2


def _print_times(plan: Plan) -> None:
    runnable = len(plan.runnable)
    print(
        f"\n{runnable} trial{'s' * (runnable != 1)}, {len(plan.refused)} refused; "
        f"at least {duration(plan.estimated_s)} of building, warm-up and measuring"
    )
    if plan.runnable and plan.trials[0].config.run.tune is not None:
        from harness.advice.halving import estimated_s

        print(f"tuned by successive halving, these take at least {duration(estimated_s(plan))} instead")
    if (words := _compiling(plan)) is not None:
        print(words)
    share = plan.trials[0].config.run.remeasure
    if share and plan.runnable:
        print(
            f"up to {duration(share * plan.estimated_s)} more where others disturb replicas (run.remeasure)"
        )


def _compiling(plan: Plan) -> str | None:
    """Say how long XLA will compile, by earlier records of the same work, and for how many none says it."""
    ahead = [t for t in plan.runnable if devices.get(t.config.device.kind).engine == "jax"]
    if not ahead:
        return None
    found = query(open_store(ahead[0].config.run.results), _COMPILE_SQL).rows
    known = {str(work): float(seconds) for work, seconds in found}
    seconds = sum(known[t.work_id] * t.config.measure.replicas for t in ahead if t.work_id in known)
    unknown = sum(t.work_id not in known for t in ahead)
    parts = [f"about {duration(seconds)} by earlier records"] if seconds else []
    parts += [f"unknown for {unknown} trial{'s' * (unknown != 1)} without any"] if unknown else []
    return f"XLA compiles on top of that: {'; '.join(parts)}"


def _plain_plan(plan: Plan, needed: Mapping[str, Needs | str] | None) -> dict[str, Any]:
    """Return the plan as plain data; None is a plan that was asked for no needs."""
    identity = identify()
    return {
        "sweep": plan.sweep,
        "machine": identity.machine,
        "code": identity.code,
        "estimated_s": plan.estimated_s,
        "trials": [
            {
                "label": t.label,
                "work_id": t.work_id,
                "trial_id": t.trial_id,
                "code_id": identity.using(t.libraries).code_id,
                "libraries": t.libraries,
                "replicas": t.config.measure.replicas,
                "refusal": t.refusal,
                "overrides": t.overrides,
                "config": t.config.model_dump(mode="json"),
                "size": dict(t.size),
                **({} if needed is None else {"needs": _plain(needed.get(t.trial_id))}),
            }
            for t in plan.trials
        ],
        "warnings": warnings(
            plan.runnable,
            {i: n.least_bytes for i, n in (needed or {}).items() if not isinstance(n, str)},
            identity,
        ),
    }


def _needs(trials: Sequence[PlannedTrial]) -> dict[str, Needs | str]:
    """Count what every trial's model needs, or say why that fails; one that fails ends nothing.

    A plan never runs the user's own, an operator is no model, and a server's is not here.
    """
    from workloads import registry as workloads

    return {
        t.trial_id: _need(t)
        for t in trials
        if workloads.get(t.config.workload.name).spec.family not in {"user", "micro", "selftest", "served"}
    }


def _need(trial: PlannedTrial) -> Needs | str:
    from harness.records.errors import kind_and_words
    from harness.trial.prepare import workload_of
    from workloads.engine.requirements import needs

    config = trial.config
    try:
        return needs(
            workload_of(config, trial.size),
            precision=config.precision.name,
            optimizer=config.workload.optimizer,
        )
    except Exception as error:  # noqa: BLE001 - a library's model may fail to build in any way
        return kind_and_words(error)


def _plain(found: Needs | str | None) -> dict[str, Any] | None:
    if found is None or isinstance(found, str):
        return found if found is None else {"reason": found}
    return asdict(found) | {"least_bytes": found.least_bytes}


def _print_needs(trials: Sequence[PlannedTrial], needed: Mapping[str, Needs | str]) -> None:
    from harness.records.numbers import quantity

    def quantity_or_blank(value: float, unit: str) -> str:
        return quantity(value, unit).text if value else ""

    print_table(
        [
            "needs",
            "parameters",
            "FLOPs per step",
            "weights",
            "gradients, optimizer",
            "KV cache",
            "memory at least",
        ],
        [
            [
                t.label,
                quantity_or_blank(n.parameters, "1"),
                quantity_or_blank(n.flops, "FLOP"),
                quantity_or_blank(n.weights_bytes, "B"),
                quantity_or_blank(n.training_bytes, "B"),
                quantity_or_blank(n.kv_cache_bytes, "B"),
                quantity_or_blank(n.least_bytes, "B"),
            ]
            for t in trials
            if not isinstance(n := needed.get(t.trial_id), str | None)
        ],
        title="of the whole model, uncompressed and on one device; activations come on top",
    )
    if unknown := [[t.label, why] for t in trials if isinstance(why := needed.get(t.trial_id), str)]:
        print()
        print_table(["needs unknown", "reason"], unknown)
