"""The demo's workloads on an idle host, beside one busy loop and beside two: what is left, and what is said.

Each round runs every workload once with each number of loops, by `device.wait=auto` and by `active`, the
library's default, which is what every build before this policy had. Rounds are interleaved, so that slow
minutes meet all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from harness.execution.attempt import Attempts
from harness.execution.host_watch import HostWatch
from harness.identity.machine import identify
from harness.isolation.workers import Workers
from harness.planning.plan import PlannedTrial, make_plan
from harness.records import open_store
from harness.records.headline import HEADLINES
from harness.records.schema import Record
from harness.records.validity import judge

WORKLOADS = (
    ("resnet", "infer"), ("mlp", "train"), ("lstm", "train"), ("bert", "train"), ("gpt", "decode"),
)  # fmt: skip
ROUNDS = int(os.environ.get("ROUNDS", "2"))
WAITS = tuple(os.environ.get("WAITS", "auto active").split())
LOOP = [
    "sh", "-c", '"$0" -I -S -c "while True: pass" >/dev/null & echo $!', sys.executable,
]  # fmt: skip
"""Orphaned at once: what a process starts itself is its own work, not somebody else's."""
CLEAN = "iteration.mean.clean"


def plan(workload: str, mode: str, wait: str) -> PlannedTrial:
    """Plan one trial as the demo measures it."""
    words = [
        f"workload={workload}",
        f"workload.mode={mode}",
        "device=cpu",
        "measure=demo",
        f"device.wait={wait}",
    ]
    (trial,) = make_plan([*words, "power=none", "measure.profile=false", "run.name=busy"]).trials
    return trial


def speed(record: Record) -> float:
    """Return the headline throughput."""
    return next(m.value for name in HEADLINES if (m := record.metric(name)) is not None and m.value)


def main() -> None:
    """Print a row for each workload, number of loops and policy."""
    rates: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    clean: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    flagged: dict[tuple[str, int, str], int] = defaultdict(int)
    identity, replica = identify(), 0
    with tempfile.TemporaryDirectory() as folder, Workers() as workers:
        store = open_store(Path(folder))
        for _ in range(ROUNDS):
            for loops in (0, 1, 2):
                with ExitStack() as stack:
                    for _loop in range(loops):
                        stack.callback(os.kill, int(subprocess.check_output(LOOP)), signal.SIGKILL)
                    watch = HostWatch()
                    watch.before()
                    attempts = Attempts("busy", store, identity, wait_policy=watch.wait_policy)
                    for name, mode in WORKLOADS:
                        for wait in WAITS:
                            record = attempts.run(workers, plan(name, mode, wait), replica, 0)
                            key = (f"{name} {mode}", loops, wait)
                            rates[key].append(speed(record))
                            metric = record.metric(CLEAN)
                            clean[key] += [metric.value] if metric is not None and metric.value else []
                            reasons = {r for _, found in judge(record).values() for r in found}
                            flagged[key] += "host_contended" in reasons
                            replica += 1
    print("| workload | busy loops | waiting | of idle | clean mean over idle | called contended |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for (name, loops, wait), found in rates.items():
        idle = median(rates[name, 0, WAITS[-1]])
        undisturbed = clean[name, 0, WAITS[-1]]
        share = "-"
        if clean[name, loops, wait] and undisturbed:
            share = f"{median(clean[name, loops, wait]) / median(undisturbed):.3f}"
        print(
            f"| {name} | {loops} | {wait} | {median(found) / idle:.3f} | {share} "
            f"| {flagged[name, loops, wait]} of {len(found)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
