"""What the measured loop costs the host: our loop and a bare one, side by side, over the same iterations.

Each repetition times as many iterations in our loop (`harness.timing.loop.Span`) as in a bare `for` loop
with one clock reading at either end, in alternating order. The cost is the median over repetitions of the
difference an iteration; repetitions are short, and those that were interrupted are left out.
Iterations spin on the clock until their time is up, having touched a buffer larger than the first caches, so
that our loop finds its data cold, as it does between real steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

from harness.devices.cpu import CpuDevice
from harness.timing import TimingSettings
from harness.timing.clocks import HostClock
from harness.timing.loop import collector_off
from harness.timing.measure import allocate

LIMIT_NS = 1_000.0
LIMIT_SHARE = 0.0005
LEAST_CLEAN = 15
_COLD = np.zeros(1 << 18)
"""2 MiB: read between our own instructions, it takes the place of what they left in the caches."""


def work(duration_ns: int) -> object:
    """Return a step that takes `duration_ns`; 0 does nothing."""
    clock = time.perf_counter_ns

    def nothing(_index: int, _mark: object) -> None:
        pass

    def busy(_index: int, _mark: object) -> None:
        end = clock() + duration_ns
        if duration_ns >= 100_000:
            _COLD.sum()
        while clock() < end:
            pass

    return busy if duration_ns else nothing


def bare(step: object, iterations: int) -> int:
    """Time a loop that does nothing else."""
    began = time.perf_counter_ns()
    for index in range(iterations):
        step(index, None)  # type: ignore[operator]
    return time.perf_counter_ns() - began


def ours(step: object, duration_ns: int, seconds: float) -> tuple[int, int]:
    """Time our loop for about `seconds`; return its time from first to last reading and its iterations."""
    clock = HostClock()
    span = allocate(CpuDevice(), clock, TimingSettings(seconds=seconds), max(60, duration_ns))
    span.run(step, first=0, at_least=3, duration_ns=round(seconds * 1e9))  # type: ignore[arg-type]
    return span.host_ns, span.iterations


def cost(duration_ns: int, seconds: float, repetitions: int) -> dict[str, float]:
    """Return the medians of both loops and of their differences, in ns an iteration.

    Repetitions in which the thread was taken off its CPU are left out, unless hardly any is left.
    """
    step, clock = work(duration_ns), HostClock()
    found: list[tuple[bool, float, float]] = []
    _, iterations = ours(step, duration_ns, seconds)
    with collector_off():
        for repetition in range(repetitions):
            switches, wall_ns, cpu_ns = clock.involuntary(), clock.now_ns(), clock.cpu_ns()
            if repetition % 2:
                alone = bare(step, iterations) / iterations
            span, count = ours(step, duration_ns, seconds)
            if not repetition % 2:
                alone = bare(step, iterations) / iterations
            cpu_ns, wall_ns = clock.cpu_ns() - cpu_ns, clock.now_ns() - wall_ns
            clean = clock.involuntary() == switches and wall_ns <= 1.003 * cpu_ns + 20_000
            found.append((clean, alone, span / count))
    clean_count = sum(clean for clean, _, _ in found)
    kept = [(b, o) for clean, b, o in found if clean or clean_count < LEAST_CLEAN]
    bare_ns = statistics.median(b for b, _ in kept)
    cost_ns = statistics.median(o - b for b, o in kept)
    return {
        "bare_ns": bare_ns,
        "ours_ns": statistics.median(o for _, o in kept),
        "cost_ns": cost_ns,
        "cost_share": cost_ns / bare_ns,
        "clean": clean_count,
    }


def main() -> int:
    """Print the table; 1 when an iteration costs more than 1 µs and more than 0.05 % of itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.02, help="of one loop (default: 0.02)")
    parser.add_argument("--repetitions", type=int, default=201)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lengths = {"no-op": 0, "10 µs": 10_000, "1 ms": 1_000_000, "10 ms": 10_000_000}
    rows = {name: cost(ns, options.seconds, options.repetitions) for name, ns in lengths.items()}
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print(f"{'iteration':>10} {'bare':>14} {'ours':>14} {'cost':>10} {'share':>9}  undisturbed")
        for name, r in rows.items():
            print(
                f"{name:>10} {r['bare_ns']:>11,.0f} ns {r['ours_ns']:>11,.0f} ns "
                f"{r['cost_ns']:>7,.0f} ns {r['cost_share']:>8.3%}  {r['clean']:.0f} of {options.repetitions}"
            )
    within = [r["cost_ns"] <= LIMIT_NS or r["cost_share"] <= LIMIT_SHARE for r in rows.values()]
    return 0 if all(within) else 1


if __name__ == "__main__":
    raise SystemExit(main())
