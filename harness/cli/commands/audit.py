"""`joulemark audit`: measure a random sample of a bundle's trials again, and compare by the intervals.

What is measured comes from the user's own overrides alone; the bundle gives numbers to compare with.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.bundles.archive import merge_bundles, sound_files
from harness.bundles.consistency import audit
from harness.bundles.marks import file_digest
from harness.cli.output import print_json, print_table, visible
from harness.cli.verdict_table import COLUMNS, row
from harness.comparison.sweeps import SweepComparison, compare_sweeps
from harness.execution import progress
from harness.execution.sweep import Sweep
from harness.identity.machine import identify
from harness.planning.plan import Plan, PlannedTrial, make_plan
from harness.records import open_store
from harness.records.estimates import trial_results
from harness.records.results import TrialResult
from harness.records.store import Store
from harness.system.errors import UsageError

SAME, WORSE, UNDECIDED = 0, 3, 4


def main(options: argparse.Namespace) -> int:
    """Print each verdict: 0 none is worse than recorded, 3 one is, 4 too little to say, 1 inconsistent."""
    if options.trials < 1 or not 0 < options.delta < 1:
        raise UsageError("--trials is 1 or more, --delta between 0 and 1")
    bundle = Path(options.bundle)
    found = audit(sound_files(bundle))
    if found.label == "inconsistent":
        for line in found.lines()[:20]:
            print(visible(line), file=sys.stderr)
        print(f"{bundle}: inconsistent: nothing was measured")
        return 1
    recorded = _recorded(bundle)
    plan = make_plan(options.overrides, user_folders=[Path(d) for d in options.config_dir])
    seed = options.seed or secrets.token_hex(4)
    chosen = sample(plan, recorded, options.trials, seed)
    # Equal choices go on where they stopped; a name of its own mixes them with no sweep of the user's.
    name = f"audit-{file_digest(bundle)[:8]}-{seed}"
    part = replace(plan, sweep=name, trials=chosen)
    measured = measure_again(part, open_store(plan.trials[0].config.run.results))
    works = {trial.work_id for trial in chosen}
    joined = compare_sweeps([r for r in recorded if r.work_id in works], measured, delta=options.delta)
    code = verdict(joined)
    if options.json:
        print_json(_plain(options, joined, seed, code))
    else:
        _print(options, joined, seed, code)
    return code


def sample(plan: Plan, recorded: Sequence[TrialResult], count: int, seed: str) -> tuple[PlannedTrial, ...]:
    """Return `count` trials that the plan can run and the bundle has good records of, by chance.

    Raises:
        UsageError: there is none, or the seed is no plain word.
    """
    if not seed.isalnum() or len(seed) > 32:
        raise UsageError(f"--seed {seed[:40]!r}: letters and digits, 32 at most")
    works = {r.work_id for r in recorded}
    both = sorted((t for t in plan.runnable if t.work_id in works), key=lambda t: t.trial_id)
    if not both:
        labels = ", ".join(r.label for r in recorded[:3]) or "nothing that ended well"
        raise UsageError(f"the overrides plan no work that the bundle has: it has {visible(labels)}")
    return tuple(random.Random(seed).sample(both, min(count, len(both))))


def measure_again(plan: Plan, store: Store) -> list[TrialResult]:
    """Run the sampled trials here, or what is missing of them, and return their results."""
    with progress.make(plan) as shown:
        ledger = Sweep(plan, store, identify(), shown).run()
    return trial_results(r for t in plan.trials for r in ledger.ok(t.trial_id))


def verdict(joined: SweepComparison) -> int:
    """Return the exit code: other hardware or no verdict on a headline says nothing against the bundle."""
    headlines = {work.lines[0].label for work in joined.works}
    if joined.hardware:
        return UNDECIDED
    if "worse" in headlines:
        return WORSE
    return UNDECIDED if headlines & {"inconclusive", "unavailable"} else SAME


def _recorded(bundle: Path) -> list[TrialResult]:
    with tempfile.TemporaryDirectory(prefix="joulemark-audit-") as folder:
        store = open_store(folder)
        merge_bundles(store, [bundle])
        records = [r for sweep in store.sweeps() for r in store.records(sweep)[0]]
    return [r for r in trial_results(records) if r.replicas_ok]


def _print(options: argparse.Namespace, joined: SweepComparison, seed: str, code: int) -> None:
    rows = [
        [work.label if number == 0 else "", *row(line)]
        for work in joined.works
        for number, line in enumerate(work.lines)
    ]
    print_table(["trial", *COLUMNS], rows, title=f"measured here against {options.bundle}")
    for what, differences in (("hardware", joined.hardware), ("software", joined.software)):
        if differences:
            print(visible(f"{what} differs: {', '.join(list(differences)[:8])}"))
    said = {SAME: "nothing is worse than recorded", WORSE: "worse than recorded", UNDECIDED: "undecided"}
    why = ": the hardware is another" if code == UNDECIDED and joined.hardware else ""
    print(f"{len(joined.works)} trials, chosen by --seed {seed}: {said[code]}{why}")


def _plain(options: argparse.Namespace, joined: SweepComparison, seed: str, code: int) -> dict[str, Any]:
    return {
        "bundle": options.bundle,
        "seed": seed,
        "delta": options.delta,
        "trials": [
            {
                "label": work.label,
                "work_id": work.work_id,
                "replicas": work.replicas,
                "verdict": work.lines[0].label,
                "metrics": [line.plain() for line in work.lines],
            }
            for work in joined.works
        ],
        "hardware": joined.hardware,
        "software": joined.software,
        "exit_code": code,
    }
