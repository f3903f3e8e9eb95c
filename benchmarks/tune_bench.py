"""The search by halving beside the full grid that it searches: time taken, and what its choice is worth.

Run by `make bench-tune`, on an otherwise idle machine. Both are ordinary sweeps of the same configurations in
a temporary folder, and only they are timed. The grid's best is the luckiest of many means, so that its value
there is no measure. Where the two choose differently, both choices are therefore measured again side by side,
in pairs of short fresh processes, and the ratio's interval has to lie above the bound: one that is undecided
after the last look fails, as one that lies below the bound does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from harness.advice.halving import OBJECTIVES
from harness.cli.commands.run import swept
from harness.execution.sweep import Sweep
from harness.identity.machine import identify
from harness.planning.plan import make_plan
from harness.records import open_store
from harness.records.estimates import trial_results
from harness.records.results import TrialResult
from harness.stats.compare import ALPHA, Comparison, compare

MOST_TIME, MOST_BELOW = 0.4, 0.05
GRID = (
    "workload=mlp", "workload.mode=infer", "precision=fp32,bf16", "device=cpu", "device.threads=1,2",
    "power.sensor=none",
)  # fmt: skip
BATCHES = "4,16,64,256,1024,4096"
AGAIN = (
    "measure.seconds=0.25", "measure.warmup_s=0.1", "measure.steady_window_s=0.05",
    "measure.profile=false",
)  # fmt: skip
LOOKS = 3
"""At the ratio, each at the level of one of four (docs/method.md, section 3)."""


def _run(root: Path, *words: str) -> tuple[float, str]:
    """Run a sweep; return its wall time in seconds and what it printed."""
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "run",
        *GRID,
        "measure=demo",
        *words,
        f"run.results={root}",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.monotonic() - began, done.stdout


def _results(root: Path, sweep: str) -> tuple[list[TrialResult], str]:
    """Return a sweep's valid results and the metric of their throughput."""
    results = trial_results(open_store(root).records(sweep)[0])
    metric = next(m for m in OBJECTIVES["throughput"] if any(m in r.estimates for r in results))
    return [r for r in results if metric in r.estimates and r.estimates[metric].validity != "invalid"], metric


def _named(text: str, results: Sequence[TrialResult]) -> TrialResult:
    """Return the finalist that the search named the best."""
    words = text.partition(": best is ")[2]
    return max((r for r in results if words.startswith(f"{r.label} at ")), key=lambda r: len(r.label))


def _side_by_side(
    root: Path, words: Sequence[str], best: str, chosen: str, metric: str, pairs: int
) -> Comparison:
    """Measure two configurations in turn until the ratio of the second to the first is decided."""
    held: tuple[list[float], list[float]] = ([], [])
    store, identity = open_store(root), identify()
    for look in range(LOOKS):
        seed = f"seed={100 + look}"
        processes = (f"measure.replicas={pairs}", f"measure.max_replicas={pairs}")
        name = f"run.name=again.{look + 1}"
        plan = make_plan(
            [*GRID, *words, "measure=demo", *AGAIN, *processes, seed, name, f"run.results={root}"]
        )
        part = replace(plan, trials=tuple(t for t in plan.trials if t.label in {best, chosen}))
        ledger = swept(part, lambda shown, part=part: Sweep(part, store, identity, shown)).ledger
        ids = {t.label: t.trial_id for t in part.trials}
        by_replica = [{r.replica: r.value(metric) for r in ledger.ok(ids[label])} for label in (best, chosen)]
        for replica in sorted(by_replica[0].keys() & by_replica[1].keys()):
            for side, values in zip(held, by_replica, strict=True):
                side.append(values[replica] or 0.0)
        found = compare(*held, MOST_BELOW, direction="higher", alpha=ALPHA)
        print(_in_words(found), flush=True)
        if _judged(found) != "undecided":
            break
    return found


def _bounds(found: Comparison) -> tuple[float, float]:
    """Return the interval of the ratio."""
    if found.low is None or found.high is None:
        raise SystemExit("one pair has no interval")
    return 1 + found.low, 1 + found.high


def _judged(found: Comparison) -> Literal["kept", "missed", "undecided"]:
    low, high = _bounds(found)
    return "kept" if low >= 1 - MOST_BELOW else "missed" if high < 1 - MOST_BELOW else "undecided"


def _in_words(found: Comparison) -> str:
    low, high = _bounds(found)
    ratio = f"{1 + found.effect:.3f} [{low:.3f}, {high:.3f}]"
    return f"{ratio} of the grid's best in {found.pairs} pairs: {_judged(found)}"


def main() -> int:
    """Measure and print; 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", default=BATCHES, help="of the grid (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=80, help="up to each look (default: %(default)s)")
    options = parser.parse_args()
    batches = f"workload.batch={options.batches}"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tuned_s, said = _run(root, batches, "run.name=tuned", "run.tune=throughput")
        grid_s, _ = _run(root, batches, "run.name=grid")
        finalists, _ = _results(root, "tuned")
        grid, metric = _results(root, "grid")
        chosen, best = _named(said, finalists), max(grid, key=lambda r: r.estimates[metric].value or 0.0)
        print(f"full grid: {len(grid)} configurations in {grid_s:.0f} s, best {best.label}")
        print(f"tuned:     {tuned_s:.0f} s, chose {chosen.label}")
        value, good = "the grid's best itself", True
        if chosen.label != best.label:
            found = _side_by_side(root, [batches], best.label, chosen.label, metric, options.pairs)
            value, good = _in_words(found), _judged(found) == "kept"
    share = tuned_s / grid_s
    checks = (
        (f"time {share:.0%} of the grid's, at most {MOST_TIME:.0%}", share <= MOST_TIME),
        (f"value {value}; at least {1 - MOST_BELOW:g} beyond doubt", good),
    )
    for text, kept in checks:
        print(f"{'pass' if kept else 'FAIL'}  {text}")
    return 0 if all(kept for _, kept in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
