"""The real gate on this machine: A/A runs, which must pass, and a planted tenth, which must not.

Run by `make bench-gate-real`. At most two of twenty A/A runs may be called a regression; every planted
slowdown must be, and the bisect must name its commit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gate_bench.toy import Toy


def gate(planted: bool) -> dict[str, object]:
    """Run one gate in a new repository and return what it said."""
    with tempfile.TemporaryDirectory(prefix="joulemark-toy-") as folder:
        toy = Toy.make(Path(folder), commits=2, planted=1 if planted else None)
        toy.history(nights=10)
        began = time.monotonic()
        toy.night("nightly-tonight", toy.commits[1])
        done = toy.gate(base=toy.commits[0], head=toy.commits[1])
        told = json.loads(done.stdout)
        return {
            "planted": planted,
            "code": done.returncode,
            "counts": told["counts"],
            "seconds": time.monotonic() - began,
        }


def bisect(commits: int, planted: int) -> dict[str, object]:
    """Search once in a new repository."""
    with tempfile.TemporaryDirectory(prefix="joulemark-toy-") as folder:
        toy = Toy.make(Path(folder), commits=commits, planted=planted)
        began = time.monotonic()
        done = toy.bisect()
        found = json.loads(done.stdout)["first_bad"] if done.returncode == 0 else None
        right = found == toy.commits[planted]
        return {"bisect": True, "right": right, "code": done.returncode, "seconds": time.monotonic() - began}


def main() -> int:
    """Print a line a run; 1 when too many are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--same", type=int, default=20, help="A/A gates")
    parser.add_argument("--slow", type=int, default=3, help="gates of a planted tenth")
    parser.add_argument("--bisects", type=int, default=1)
    options = parser.parse_args()
    false_alarms = missed = wrong = 0
    for planted in [False] * options.same + [True] * options.slow:
        told = gate(planted)
        print(json.dumps(told), flush=True)
        false_alarms += not planted and told["code"] == 3
        missed += planted and told["code"] != 3
    for _ in range(options.bisects):
        told = bisect(6, 3)
        print(json.dumps(told), flush=True)
        wrong += not told["right"]
    print(
        f"{false_alarms} of {options.same} A/A gates called a regression; {missed} of {options.slow} missed"
    )
    print(f"{wrong} of {options.bisects} bisects wrong")
    return int(false_alarms > options.same / 10 or missed > 0 or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
