"""`joulemark run`: run what is missing of a sweep, then tell what the disk holds."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from harness.cli.commands import status
from harness.cli.streams import unheard
from harness.execution import progress
from harness.execution.host_watch import HostWatch
from harness.execution.ledger import exit_code
from harness.execution.sweep import Progress, Sweep
from harness.identity.machine import identify
from harness.planning.plan import code_ids, make_plan
from harness.records import open_store
from harness.system.errors import UsageError
from harness.system.ranges import all_too_old


def main(options: argparse.Namespace) -> int:
    """Run or resume; the exit code is computed from the records on disk."""
    host = HostWatch()
    plan = make_plan(options.overrides, user_folders=[Path(d) for d in options.config_dir])
    for words in all_too_old(["torch", *sorted({name for t in plan.runnable for name in t.libraries})]):
        print(f"joulemark: {words}", file=sys.stderr)
    folders = {t.config.run.results for t in plan.trials}
    if len(folders) > 1:
        raise UsageError(f"run.results: one sweep has one folder, not {', '.join(sorted(folders))}")
    store = open_store(folders.pop())
    identity = identify()
    with contextlib.ExitStack() as stack:
        terminal = progress.make(plan)
        stack.enter_context(terminal)
        shown: Progress = terminal
        run = plan.trials[0].config.run
        if run.monitor:
            from harness.execution.monitor import MonitoredProgress

            shown = stack.enter_context(MonitoredProgress(plan, shown, run.monitor_port))
        sweep = Sweep(plan, store, identity, shown, host=host)
        sweep.run()
    ledger, torn = status.read(store, plan.sweep, identity.machine_id, code_ids(plan.trials, identity))
    with unheard():
        status.show(store, plan.sweep, ledger, torn, as_json=options.json)
        if not options.json:
            print(f"\nnext: joulemark report {plan.sweep}" + _results_option(store.root))
    return exit_code(plan, ledger, sweep.wanted)


def _results_option(root: Path) -> str:
    return "" if root == Path("results").absolute() else f" --results {root}"
