"""`joulemark plan`: every trial with its identity, the refused cells with their reasons, and the time."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.output import print_json, print_table
from harness.machine import identify
from harness.plan import make_plan
from harness.progress import duration


def main(options: argparse.Namespace) -> int:
    """Print the plan; 2 when every cell is refused."""
    plan = make_plan(options.overrides, user_folders=[Path(d) for d in options.config_dir])
    if options.json:
        me = identify()
        print_json(
            {
                "sweep": plan.sweep,
                "machine": me.machine,
                "code": me.code,
                "foretold_s": plan.foretold_s,
                "trials": [
                    {
                        "label": t.label,
                        "work_id": t.work_id,
                        "trial_id": t.trial_id,
                        "replicas": t.config.measure.replicas,
                        "refusal": t.refusal,
                        "overrides": t.overrides,
                        "config": t.config.model_dump(mode="json"),
                        "size": dict(t.size),
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
    if plan.refused:
        print()
        print_table(["refused", "reason"], [[t.label, t.refusal] for t in plan.refused])
    runnable = len(plan.runnable)
    print(
        f"\n{runnable} trial{'s' * (runnable != 1)}, {len(plan.refused)} refused; "
        f"at least {duration(plan.foretold_s)} of building, warm-up and measuring"
    )
    return 0 if plan.runnable else 2
