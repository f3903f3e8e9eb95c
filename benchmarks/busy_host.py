"""The demo's workloads idle, beside a light load, one busy loop and two: what is left, and what is reported.

Each round measures every workload once in every case by `device.wait=auto`, so that slow minutes meet all.
The clean mean is held against idle replicas whose threads wait as they do beside a load (`passive`). Pairs
of this build and of one from before wait policies follow, idle. Prints `pass` or `FAIL` for each bar, or
`open` where the pairs do not resolve it. A FAIL ends with code 1: so does a host that was not idle at first.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median, stdev

from scipy.stats import t as student

from harness.comparison.sides import Side, checked_out, environment, make_side
from harness.execution.attempt import Attempts
from harness.execution.host_watch import HostWatch
from harness.identity.machine import identify
from harness.isolation.workers import Workers
from harness.planning.plan import PlannedTrial, make_plan
from harness.records import open_store
from harness.records.headline import HEADLINES
from harness.records.schema import Record
from harness.records.store import Store
from harness.records.validity import judge
from harness.system.threads import AUTO, PASSIVE

BASE = "e833c71"
"""The last build whose threads always waited as their library does by default."""
WORKLOADS = (
    ("resnet", "infer"), ("mlp", "train"), ("lstm", "train"), ("bert", "train"), ("gpt", "decode"),
)  # fmt: skip
ROUNDS = int(os.environ.get("ROUNDS", "5"))
PAIRS = int(os.environ.get("PAIRS", "6"))
SETTINGS = (
    "device=cpu", "power=none", "measure=demo", "measure.seconds=1", "measure.profile=false", "run.name=busy",
)  # fmt: skip
STOPPED = "import ctypes, os, signal; ctypes.CDLL(None).prctl(1, 9); os.kill(os.getpid(), signal.SIGSTOP)\n"
"""It dies with its parent (PR_SET_PDEATHSIG, SIGKILL), and stands still until it is sent SIGCONT."""
BUSY = STOPPED + "while True: pass"
LIGHT = (
    STOPPED
    + """
import time
while True:
    end = time.monotonic() + 0.03
    while time.monotonic() < end: pass
    time.sleep(0.07)
"""
)
LOOPS = (LIGHT, BUSY, BUSY)
CASES = {"idle": (), "30 % of a loop": (0,), "one loop": (1,), "two loops": (1, 2)}
"""Which of the loops run in each case."""
CLEAN = "iteration.mean.clean"
WAITS = (AUTO, PASSIVE)
LEAST_SHARE = 0.35
"""Of idle throughput beside two loops; a fair share is about 0.5."""
CLEAN_WITHIN, BUILD_WITHIN = 0.10, 0.02


@dataclass
class Seen:
    """The replicas of one workload in one case, by one wait policy."""

    rates: list[float] = field(default_factory=list)
    clean_s: list[float] = field(default_factory=list)
    clean_shares: list[float] = field(default_factory=list)
    contended: int = 0

    def add(self, record: Record) -> None:
        """Take a replica's figures."""
        self.rates.append(speed(record))
        metric = record.metric(CLEAN)
        self.clean_s += [metric.value] if metric is not None and metric.value else []
        share = record.evidence.get("clean_share")
        self.clean_shares += [share] if isinstance(share, float | int) else []
        reasons = {reason for _, found in judge(record).values() for reason in found}
        self.contended += "host_contended" in reasons


class Bars:
    """What was judged; some of it may have failed."""

    def __init__(self) -> None:
        self.failed = 0

    def hold(self, what: str, *, kept: bool) -> None:
        """Print one verdict."""
        self.failed += not kept
        print(f"{'pass' if kept else 'FAIL'}  {what}", flush=True)


Found = dict[tuple[str, str, str], Seen]
"""By workload, case and wait policy."""


def plan(workload: str, mode: str, wait: str) -> PlannedTrial:
    """Plan one trial as the demo measures it."""
    words = [f"workload={workload}", f"workload.mode={mode}", f"device.wait={wait}", *SETTINGS]
    (trial,) = make_plan(words).trials
    return trial


def speed(record: Record) -> float:
    """Return the headline throughput."""
    return next(m.value for name in HEADLINES if (m := record.metric(name)) is not None and m.value)


@contextmanager
def running(process: int) -> Iterator[None]:
    """Let a loop of somebody else's run meanwhile."""
    os.kill(process, signal.SIGCONT)
    try:
        yield
    finally:
        os.kill(process, signal.SIGSTOP)


def measure(store: Store, loops: Sequence[int]) -> Found:
    """Measure every workload in every case, in rounds, beside loops with these process ids."""
    found: Found = defaultdict(Seen)
    replica = 0
    plans = {
        (f"{name} {mode}", wait): plan(name, mode, wait)
        for name, mode in WORKLOADS
        for wait in (AUTO, PASSIVE)
    }
    with Workers() as workers:
        for _ in range(ROUNDS):
            for case, those in CASES.items():
                with ExitStack() as stack:
                    for number in those:
                        stack.enter_context(running(loops[number]))
                    watch = HostWatch()
                    watch.before()
                    attempts = Attempts("busy", store, identify(), wait_policy=watch.wait_policy)
                    for (name, wait), trial in plans.items():
                        if wait == PASSIVE and those:
                            continue  # `auto` is passive here
                        found[name, case, wait].add(attempts.run(workers, trial, replica, 0))
                        replica += 1
    return found


def show(found: Found, bars: Bars) -> None:
    """Print the table and hold the bars of contention."""
    print("| workload | case | of idle | clean stretches | clean mean over idle | called contended |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    ratios: dict[tuple[str, str], float] = {}
    for (name, case, wait), seen in found.items():
        idle, alike = found[name, "idle", AUTO], found[name, "idle", PASSIVE]
        clean = "not published"
        if seen.clean_s and alike.clean_s:
            reference = idle if case == "idle" and wait == AUTO else alike
            ratio = median(seen.clean_s) / median(reference.clean_s)
            clean = f"{ratio:.3f}"
            if case != "idle":
                ratios[name, case] = ratio
        of_idle = median(seen.rates) / median(idle.rates)
        share = f"{median(seen.clean_shares):.0%}" if seen.clean_shares else "unknown"
        print(
            f"| {name} | {case}{', passive' * (wait == PASSIVE)} | {of_idle:.2f} | {share} | {clean} "
            f"| {seen.contended} of {len(seen.rates)} |"
        )
    print()
    for name in dict.fromkeys(name for name, _, _ in found):
        left = median(found[name, "two loops", AUTO].rates) / median(found[name, "idle", AUTO].rates)
        bars.hold(
            f"{name}: {left:.2f} of idle beside two loops (at least {LEAST_SHARE})", kept=left >= LEAST_SHARE
        )
    published = f"a clean mean beside 30 % of a loop for {len(ratios)} of {len(WORKLOADS)} workloads (any)"
    bars.hold(published, kept=bool(ratios))
    for (name, case), ratio in ratios.items():
        kept = abs(ratio - 1) <= CLEAN_WITHIN
        bars.hold(
            f"{name}: clean mean beside {case} {ratio:.3f} of idle (within {CLEAN_WITHIN:.0%})", kept=kept
        )
    alone = [seen for (_, case, _), seen in found.items() if case == "idle"]
    beside = [seen for (_, case, _), seen in found.items() if case != "idle"]
    wrong, quiet = sum(one.contended for one in alone), sum(len(one.rates) for one in alone)
    bars.hold(f"{wrong} of {quiet} idle replicas called contended (none)", kept=wrong == 0)
    called, disturbed = sum(one.contended for one in beside), sum(len(one.rates) for one in beside)
    what = f"{called} of {disturbed} replicas beside a load called contended (all)"
    bars.hold(what, kept=called == disturbed)


def pairs(store: Store, bars: Bars) -> None:
    """Measure this build and the earlier one in pairs: what `auto` costs an idle host."""
    everything: list[float] = []
    with checked_out(None, BASE) as earlier, environment(None, None) as here:
        for name, mode in WORKLOADS:
            words = [f"workload={name}", f"workload.mode={mode}", *SETTINGS, "measure.warmup_s=0.25"]
            sides = [make_side("base", words, earlier, []), make_side("head", words, here, [])]
            logs = _paired(store, sides)
            everything += logs
            _no_slower(f"{name} {mode}", logs, bars)
    _no_slower("all five", everything, bars)


def _paired(store: Store, sides: Sequence[Side]) -> list[float]:
    """Return, of every pair, ln(this build's throughput / the earlier one's)."""
    logs = []
    with ExitStack() as stack:
        workers = {side.name: stack.enter_context(side.environment.workers()) for side in sides}
        attempts = {side.name: Attempts(side.name, store, side.identity) for side in sides}
        for number in range(PAIRS):
            rate = {}
            for side in sides if number % 2 else reversed(sides):
                record = attempts[side.name].run(workers[side.name], side.trial, number, 0)
                rate[side.name] = speed(record)
            logs.append(math.log(rate["head"] / rate["base"]))
    return logs


def _no_slower(what: str, logs: Sequence[float], bars: Bars) -> None:
    """Hold that throughput is at most `BUILD_WITHIN` lower; an interval on both sides of that is open."""
    half = student.ppf(0.975, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    low, high = math.exp(fmean(logs) - half), math.exp(fmean(logs) + half)
    least = 1 - BUILD_WITHIN
    said = f"{what}: {math.exp(fmean(logs)):.3f} [{low:.3f}, {high:.3f}] of {BASE}'s (at least {least:g})"
    if low < least <= high:
        print(f"open  {said}", flush=True)
    else:
        bars.hold(said, kept=low >= least)


def main() -> int:
    """Print the table and the bars; 1 where one fails.

    The loops are this process's and what is measured is another's: a process's children are its own work.
    """
    if loops := [int(word) for word in sys.argv[1:]]:
        return bench(loops)
    with ExitStack() as stack:
        for code in LOOPS:
            process = stack.enter_context(subprocess.Popen([sys.executable, "-I", "-S", "-c", code]))
            stack.callback(process.kill)
            loops.append(process.pid)
        return subprocess.call([sys.executable, __file__, *map(str, loops)])


def bench(loops: Sequence[int]) -> int:
    """Measure beside these processes."""
    bars = Bars()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        show(measure(store, loops), bars)
        pairs(store, bars)
    return 1 if bars.failed else 0


if __name__ == "__main__":
    sys.exit(main())
