"""`joulemark run`: run what is missing of a sweep, here or on a cluster, then report what the disk holds."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from harness.cli.commands import status
from harness.cli.output import visible
from harness.cli.streams import unheard
from harness.execution import progress
from harness.execution.host_watch import HostWatch
from harness.execution.lease import Lease
from harness.execution.ledger import exit_code
from harness.execution.sweep import Progress, Sweep
from harness.identity.machine import Identity, identify
from harness.isolation.workers import Workers
from harness.planning.blocks import Block, most_blocks, shared_out
from harness.planning.plan import Plan, PlannedTrial, code_ids, make_plan
from harness.records import open_store
from harness.records.store import Store
from harness.system.allocation import allocation
from harness.system.errors import UsageError
from harness.system.ranges import all_too_old


def main(options: argparse.Namespace) -> int:
    """Run or resume; the exit code is computed from the records on disk."""
    host = HostWatch()
    block = None if options.block is None else Block.parse(options.block)
    plan = make_plan(options.overrides, user_folders=[Path(d) for d in options.config_dir])
    for words in all_too_old(["torch", *sorted({name for t in plan.runnable for name in t.libraries})]):
        print(f"joulemark: {words}", file=sys.stderr)
    store = open_store(_one(plan, "results", lambda trial: trial.config.run.results))
    scheduler = _one(plan, "on", lambda trial: trial.config.run.on)
    objective = _one(plan, "tune", lambda trial: trial.config.run.tune or "")
    if objective and (block is not None or scheduler != "local"):
        raise UsageError("run.tune searches on this machine: run.on=local goes with it, and no --block")
    identity = identify()
    if scheduler != "local":
        if block is not None:
            raise UsageError("--block runs a part of the sweep here: run.on=local goes with it")
        return _on_cluster(plan, store, identity, options)
    if block is not None:
        return _one_block(plan, store, identity, block, host)

    winners: list[str] = []
    with Workers() as workers:  # one server for all rounds of a search

        def run(part: Plan) -> Sweep:
            held = contextlib.nullcontext(workers)
            return swept(
                part, lambda shown: Sweep(part, store, identity, shown, host=host, workers=lambda: held)
            )

        if objective:
            from harness.cli.tuned import tuned, winner

            found, sweep = tuned(plan, objective, run)
            plan, winners = sweep.plan, [winner(each) for each in found]
        else:
            sweep = run(plan)
    ledger, torn = status.read(store, plan.sweep, identity.machine_id, code_ids(plan.trials, identity))
    with unheard():
        status.show(store, plan.sweep, ledger, torn, as_json=options.json)
        if not options.json:
            for words in winners:
                print(f"\n{words}")
            print(f"\nnext: joulemark report {plan.sweep}" + results_option(store.root))
    return exit_code(plan, ledger, sweep.wanted)


def swept(plan: Plan, sweep_under: Callable[[Progress], Sweep]) -> Sweep:
    """Run a sweep under the progress of its plan, and return it."""
    with contextlib.ExitStack() as stack:
        terminal = progress.make(plan)
        stack.enter_context(terminal)
        shown: Progress = terminal
        run = plan.trials[0].config.run
        if run.monitor:
            from harness.execution.monitor import MonitoredProgress

            shown = stack.enter_context(MonitoredProgress(plan, shown, run.monitor_port))
        sweep = sweep_under(shown)
        sweep.run()
    return sweep


def _one_block(plan: Plan, store: Store, identity: Identity, block: Block, host: HostWatch) -> int:
    """Run one block beside the others; its log is its face, so that it prints no table."""
    if block.of > most_blocks(plan):
        raise UsageError(
            f"--block {block}: the sweep has {most_blocks(plan)} comparisons, so at most as many blocks"
        )
    part = shared_out(plan, block.of)[block.number - 1]
    lease = Lease(store.sweep_dir(plan.sweep), str(block), allocation())

    sweep = swept(part, lambda shown: Sweep(part, store, identity, shown, host=host, lease=lease, whole=plan))
    # What other nodes have finished is no longer in the sweep's plan.
    return exit_code(sweep.plan, sweep.ledger, sweep.wanted) if sweep.plan.trials else 0


def _on_cluster(plan: Plan, store: Store, identity: Identity, options: argparse.Namespace) -> int:
    from harness.cluster.blocks import Spread

    run = plan.trials[0].config.run
    blocks = run.slurm.blocks if run.on == "slurm" else run.ray.blocks
    spread = Spread.over(plan, store, identity, blocks)
    if run.on == "slurm":
        from harness.cluster.watch import SlurmSweep

        ledger = SlurmSweep(spread, tuple(options.config_dir), _say).run()
    else:
        from harness.cluster.ray_sweep import RaySweep

        ledger = RaySweep(spread, run.ray, options.config_dir, _say).run()
    with unheard():
        status.show(store, plan.sweep, ledger, [], as_json=options.json)
    return exit_code(plan, ledger, lambda trial: spread.wanted(trial, ledger))


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(visible(text), file=sys.stderr, flush=True)


def _one(plan: Plan, key: str, value: Callable[[PlannedTrial], str]) -> str:
    found = {value(trial) for trial in plan.trials}
    if len(found) > 1:
        raise UsageError(f"run.{key}: one sweep has one, not {', '.join(sorted(found))}")
    return found.pop()


def results_option(root: Path) -> str:
    """Return the option that names a results folder; nothing for the usual one."""
    return "" if root == Path("results").absolute() else f" --results {root}"
