"""`joulemark plan`: every trial with its identity, the refused cells with their reasons, and the time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.output import print_json, print_table
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
        identity = identify()
        print_json(
            {
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
                        **({"needs": _plain(needed.get(t.trial_id))} if options.needs else {}),
                    }
                    for t in plan.trials
                ],
            }
        )
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
    return 0 if plan.runnable else 2


def _print_times(plan: Plan) -> None:
    runnable = len(plan.runnable)
    print(
        f"\n{runnable} trial{'s' * (runnable != 1)}, {len(plan.refused)} refused; "
        f"at least {duration(plan.estimated_s)} of building, warm-up and measuring"
    )
    if (words := _compiling(plan)) is not None:
        print(words)
    share = plan.trials[0].config.run.remeasure
    if share and plan.runnable:
        print(
            f"up to {duration(share * plan.estimated_s)} more where others disturb replicas (run.remeasure)"
        )


def _compiling(plan: Plan) -> str | None:
    """Say how long XLA will compile, by earlier records of the same work, and for how many none tells."""
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


def _needs(trials: Sequence[PlannedTrial]) -> dict[str, Needs]:
    """Count what every trial's model needs; a plan never runs the user's own, and an operator is no model."""
    from harness.trial.prepare import workload_of
    from workloads import registry as workloads
    from workloads.engine.requirements import needs

    return {
        t.trial_id: needs(
            workload_of(t.config, t.size),
            precision=t.config.precision.name,
            optimizer=t.config.workload.optimizer,
        )
        for t in trials
        if workloads.get(t.config.workload.name).spec.family not in {"user", "micro", "selftest"}
    }


def _plain(found: Needs | None) -> dict[str, float] | None:
    return None if found is None else asdict(found) | {"least_bytes": found.least_bytes}


def _print_needs(trials: Sequence[PlannedTrial], needed: dict[str, Needs]) -> None:
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
            if (n := needed.get(t.trial_id)) is not None
        ],
        title="of the whole model, uncompressed and on one device; activations come on top",
    )
