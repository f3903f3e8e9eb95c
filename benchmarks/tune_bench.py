"""The search by halving beside the full grid that it searches: time taken, and what its choice is worth.

Run by `make bench-tune`, on an otherwise idle machine. Both are ordinary sweeps of the same configurations,
in a temporary folder; the choice is judged by what the full grid measured of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.advice.halving import metric_of, ranked
from harness.records import open_store
from harness.records.estimates import trial_results
from harness.records.results import TrialResult

MOST_TIME, MOST_BELOW = 0.4, 0.05
GRID = (
    "workload=mlp", "workload.mode=infer", "workload.batch=8,32,128,512", "precision=fp32,bf16",
    "optimize=eager,channels_last", "device=cpu", "device.threads=1,2", "measure=demo", "measure.seconds=1.0",
    "power.sensor=none",
)  # fmt: skip


def _run(root: Path, *words: str) -> float:
    """Run a sweep and return its wall time in seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "harness.cli", "run", *GRID, *words, f"run.results={root}"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _ranked(root: Path, sweep: str) -> tuple[list[TrialResult], str]:
    results = trial_results(open_store(root).records(sweep)[0])
    metric = metric_of(results, "throughput")
    if metric is None:
        raise SystemExit(f"{sweep}: no result")
    return ranked(results, "throughput"), metric


def _setting(result: TrialResult) -> tuple[object, ...]:
    c = result.config
    return c["workload"]["batch"], c["precision"]["name"], c["optimize"]["name"], c["device"]["threads"]


def main() -> int:
    """Measure and print; 1 where a bound is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tuned_s = _run(root, "run.name=tuned", "run.tune=throughput")
        grid_s = _run(root, "run.name=grid")
        (chosen, *_), _ = _ranked(root, "tuned")
        grid, metric = _ranked(root, "grid")
        value = {_setting(r): r.estimates[metric].value or 0.0 for r in grid}
        best = value[_setting(grid[0])]
        print(
            f"full grid: {len(grid)} configurations in {grid_s:.0f} s, best {_setting(grid[0])}: {best:.5g}"
        )
        print(
            f"tuned:     {tuned_s:.0f} s, chose {_setting(chosen)}: {value[_setting(chosen)]:.5g} in the grid"
        )
        below = 1 - value[_setting(chosen)] / best
    checks = (
        (
            f"time {tuned_s / grid_s:.0%} of the grid's, at most {MOST_TIME:.0%}",
            tuned_s / grid_s <= MOST_TIME,
        ),
        (f"{below:.1%} below the grid's best, at most {MOST_BELOW:.0%}", below <= MOST_BELOW),
    )
    for text, good in checks:
        print(f"{'pass' if good else 'FAIL'}  {text}")
    return 0 if all(good for _, good in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
