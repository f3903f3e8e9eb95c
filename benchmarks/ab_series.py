"""How often `joulemark ab` errs on this machine: the same twice, and a planted slowdown of a tenth more work.

A run against itself that ends `better` or `worse` is wrong; a slowdown that does not end `worse` is missed.
At most 3 of 20 may be wrong and at least 9 of 10 found; fewer runs are judged by the same shares. Both kinds
take turns, so that a part of the series is a fair part of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time

WRONG_SHARE, FOUND_SHARE = 3 / 20, 9 / 10
_PASSING = (0, 3, 4)


def compare(work: int, head_work: int, seconds: float, folder: str) -> dict[str, object]:
    """Run one comparison on one thread and return its JSON.

    Raises:
        RuntimeError: it ended in an error.
    """
    command = [sys.executable, "-m", "harness.cli", "ab"]
    command += [f"workload.shape.work={work}", f"workload.shape.work={head_work}"]
    command += ["workload=spin", "device=cpu", "device.threads=1", "measure=demo", "power=none"]
    # The work is the same from its first iteration on: a short warm-up leaves the time to the pairs.
    command += ["measure.warmup_s=0.2", "measure.steady_window_s=0.1", "measure.warmup_cap_s=1"]
    command += [f"run.results={folder}", f"--pair-seconds={seconds:g}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in _PASSING:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> int:
    """Print a line a comparison and the counts; 1 when too many are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs=2, default=(20, 10), metavar=("AA", "SLOW"))
    parser.add_argument("--pair-seconds", type=float, default=1.0)
    parser.add_argument("--work", type=int, default=500, help="passes of an iteration (default: 500)")
    options = parser.parse_args()
    same, slow = options.runs
    kinds = sorted(
        [("same", (i + 0.5) / same) for i in range(same)] + [("slow", (i + 0.5) / slow) for i in range(slow)],
        key=lambda one: one[1],
    )
    labels: dict[str, list[str]] = {"same": [], "slow": []}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for kind, _ in kinds:
            more = options.work if kind == "same" else options.work + options.work // 10
            found = compare(options.work, more, options.pair_seconds, folder)
            headline = found["metrics"][0]  # type: ignore[index]
            labels[kind].append(headline["label"])
            print(
                f"{kind}  {headline['label']:<12} {headline['effect']:+.2%} "
                f"({headline['low']:+.2%} to {headline['high']:+.2%})  {headline['metric']}  "
                f"{found['pairs']} pairs, {found['seconds']:.0f} s",
                flush=True,
            )
    wrong = sum(label in {"better", "worse"} for label in labels["same"])
    hit = labels["slow"].count("worse")
    minutes = (time.monotonic() - began) / 60
    print(f"\n{wrong} of {same} wrong, {hit} of {slow} slowdowns found, {minutes:.0f} min")
    return 0 if wrong <= WRONG_SHARE * same and hit >= FOUND_SHARE * slow else 1


if __name__ == "__main__":
    raise SystemExit(main())
