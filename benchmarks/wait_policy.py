"""What waiting threads cost, idle and beside busy loops: the table of docs/method.md, section 2.

Teams of OpenMP threads meet at a barrier at the end of each operation. Whether they spin or sleep there is
fixed when the library loads, so each policy is a process of its own. A step is a chain of matrix products.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from harness.system.threads import wait_environment

POLICIES = ("active", "spin:1000", "spin:10000", "spin:100000", "passive")
SIZES = ((96, 2), (96, 24), (192, 24), (512, 24))
"""Side of the matrices, and products in a step."""
SECONDS = 0.6
LOOP = [sys.executable, "-I", "-S", "-c", "while True: pass"]


def inside() -> None:
    """Print the median step of each size, in ms."""
    import torch

    torch.set_num_threads(int(os.environ["TEAM"]))
    medians = []
    for side, products in SIZES:
        a, b = torch.randn(side, side), torch.randn(side, side) / side**0.5
        times = []
        stop = time.perf_counter() + SECONDS
        while (now := time.perf_counter()) < stop or len(times) < 5:
            x = a
            for _ in range(products):
                x = torch.relu(x @ b)
            times.append(time.perf_counter() - now)
        half = times[len(times) // 4 :]  # the first quarter warms
        medians.append(1e3 * sum(half) / len(half))
    print(json.dumps(medians))


def measure(policy: str, team: int, loops: int) -> list[float]:
    """Return the mean step in ms of each size, in a new process beside so many busy loops."""
    environment = {**os.environ, **wait_environment(policy), "TEAM": str(team)}
    busy = [subprocess.Popen(LOOP) for _ in range(loops)]
    try:
        done = subprocess.run(
            [sys.executable, __file__, "inside"], env=environment, capture_output=True, text=True, check=True
        )
    finally:
        for process in busy:
            process.kill()
            process.wait()
    means: list[float] = json.loads(done.stdout)
    return means


def main() -> None:
    """Print a row for each team, number of loops and policy; repetitions are interleaved."""
    cores = len(os.sched_getaffinity(0))
    teams = [t for t in (1, 2, 4, 8, 16, 32, 64) if t <= cores]
    print("| threads | busy loops | waiting | " + " | ".join(f"{n} of {s}x{s} (ms)" for s, n in SIZES) + " |")
    print("| ---: | ---: | --- |" + " ---: |" * len(SIZES))
    for team in teams:
        for loops in (0, cores // 2, cores):
            runs: dict[str, list[list[float]]] = {policy: [] for policy in POLICIES}
            for _ in range(int(os.environ.get("REPEATS", "3"))):
                for policy in POLICIES:
                    runs[policy].append(measure(policy, team, loops))
            for policy, rows in runs.items():
                middle = [sorted(column)[len(column) // 2] for column in zip(*rows, strict=True)]
                print(f"| {team} | {loops} | {policy} | " + " | ".join(f"{ms:.3g}" for ms in middle) + " |")


if __name__ == "__main__":
    inside() if sys.argv[1:] == ["inside"] else main()
