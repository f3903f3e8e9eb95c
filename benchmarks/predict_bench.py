"""How well unmeasured throughput is predicted: a sweep of this machine, each trial left out in turn.

Run by `make bench-predict`, on an otherwise idle machine. It ends with exit code 1 where a bound is not kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.advice.predict import LEVEL, Predictor
from harness.records import open_store
from harness.records.estimates import trial_results

MOST_ERROR = 0.15
"""Of the median absolute error of the predicted throughput."""
COVERAGE = (0.85, 0.95)
"""Share of the trials that lie within their nominal 90 % interval."""
LEAST_TRIALS = 60
SWEEP = "predict"
GRID = (
    "workload=mlp,resnet,bert,vit", "workload.mode=train,infer", "workload.batch=2,4,8,16,32",
    "precision=fp32,bf16", "device=cpu", "measure=demo", "measure.seconds=0.7", "power.sensor=none",
)  # fmt: skip


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", help="keep the records here, and measure only what is missing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(options.results or folder)
        words = [*GRID, f"run.name={SWEEP}", f"run.results={root}"]
        command = [sys.executable, "-m", "harness.cli", "run", *words]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        results = trial_results(open_store(root).records(SWEEP)[0])
    held = Predictor([r for r in results if r.replicas_ok]).leave_one_out()
    least, most = COVERAGE
    checks = (
        (f"{held.trials} trials, at least {LEAST_TRIALS}", held.trials >= LEAST_TRIALS),
        (
            f"median absolute error {held.median_error:.1%}, at most {MOST_ERROR:.0%}",
            held.median_error <= MOST_ERROR,
        ),
        (
            f"{LEVEL:.0%} intervals hold {held.coverage:.1%} of the trials, {least:.0%} to {most:.0%}",
            least <= held.coverage <= most,
        ),
    )
    for text, good in checks:
        print(f"{'pass' if good else 'FAIL'}  {text}")
    return 0 if all(good for _, good in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
