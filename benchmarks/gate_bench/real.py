"""The real gate on this machine: A/A runs, which must pass, and a planted tenth, which must not.

Run by `make bench-gate-real`. At most two of twenty A/A runs may be called a regression; every planted
slowdown must be, and the bisect must name its commit. Every night is suspect, so that each verdict is that of
pairs. A line is kept after every run: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.gate_bench.toy import Toy

COMMITS, PLANTED = 6, 3


def gate(kind: str) -> dict[str, object]:
    """Run one gate in a new repository, `same` or `slow`, and return what it said."""
    with tempfile.TemporaryDirectory(prefix="joulemark-toy-") as folder:
        toy = Toy.make(Path(folder), commits=2, planted=1 if kind == "slow" else None)
        toy.history(nights=10)
        toy.night("nightly-tonight", toy.commits[1])
        done = toy.gate(base=toy.commits[0], head=toy.commits[1])
        told = json.loads(done.stdout)
        pairs = {
            v["metric"]: v["pairs"] and (v["pairs"]["effect"], v["pairs"]["pairs"]) for v in told["verdicts"]
        }
        return {"exit_code": done.returncode, "counts": told["counts"], "pairs": pairs}


def bisect() -> dict[str, object]:
    """Search once in a new repository."""
    with tempfile.TemporaryDirectory(prefix="joulemark-toy-") as folder:
        toy = Toy.make(Path(folder), commits=COMMITS, planted=PLANTED)
        done = toy.bisect()
        found = json.loads(done.stdout)["first_bad"] if done.returncode == 0 else None
        return {"exit_code": done.returncode, "right": found == toy.commits[PLANTED]}


def main() -> int:
    """Print a line a run; 1 when too many are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--same", type=int, default=20, help="A/A gates")
    parser.add_argument("--slow", type=int, default=3, help="gates of a planted tenth")
    parser.add_argument("--bisects", type=int, default=1)
    parser.add_argument("--log", type=Path, default=Path("build/gate-real.jsonl"), help="keeps a line a run")
    options = parser.parse_args()
    wanted = {"same": options.same, "slow": options.slow, "bisect": options.bisects}
    told = [json.loads(line) for line in options.log.read_text().splitlines()] if options.log.exists() else []
    done = Counter(run["kind"] for run in told)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    with options.log.open("a") as log:
        for kind, number in wanted.items():
            for _ in range(done[kind], number):
                began = time.monotonic()
                load = os.getloadavg()[1]
                run = {"kind": kind, **(bisect() if kind == "bisect" else gate(kind))}
                told.append(run | {"seconds": round(time.monotonic() - began), "load_before": load})
                print(json.dumps(told[-1]), file=log, flush=True)
                print(json.dumps(told[-1]), flush=True)
    false_alarms = sum(run["kind"] == "same" and run["exit_code"] == 3 for run in told)
    missed = sum(run["kind"] == "slow" and run["exit_code"] != 3 for run in told)
    wrong = sum(run["kind"] == "bisect" and not run["right"] for run in told)
    print(f"{false_alarms} of {options.same} A/A gates called a regression")
    print(f"{missed} of {options.slow} planted slowdowns missed; {wrong} of {options.bisects} bisects wrong")
    return int(false_alarms > options.same / 10 or missed > 0 or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
