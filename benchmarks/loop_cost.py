"""What the measured loop costs the host an iteration: our loop beside a bare one, in turns.

Short iterations: both loops run as many, and the cost is the difference of their times per iteration, the
median over repetitions.
Longer iterations spin on the clock until their time is up, having touched a buffer larger than the first
caches, so that our loop finds its data cold, as it does between real steps. They note when they begin and
end; the cost is what lies between them beyond what the bare loop needs there. What our loop does there
repeats with its rounds: the cost is the median over rounds at each place of a round, averaged over the
places. What happens to a shared machine within iterations is then no part of it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness.devices.cpu import CpuDevice
from harness.timing import TimingSettings
from harness.timing.clocks import HostClock
from harness.timing.loop import Span, Step, collector_off
from harness.timing.measure import allocate

Between = Callable[[int], npt.NDArray[np.int64]]
LIMIT_NS = 1_000.0
SHORT = {"no-op": (0, 200_000), "10 µs": (10_000, 4_000)}
"""Duration in ns, and iterations of one repetition."""
LONG = {"1 ms": (1_000_000, 60), "10 ms": (10_000_000, 15), "100 ms": (100_000_000, 3)}
"""Duration in ns, and rounds."""
REPETITIONS = 101
_COLD = np.zeros(1 << 18)
"""2 MiB: read between our own instructions, it takes the place of what they left in the caches."""


def make_span(duration_ns: int, iterations: int) -> Span:
    """Return the harness's span for at least so many iterations."""
    period_ns = max(200, duration_ns)
    settings = TimingSettings(seconds=iterations * period_ns / 1e9)
    return allocate(CpuDevice(), HostClock(), settings, period_ns)


def bare(step: Step, iterations: int) -> float:
    """Run a loop that does nothing else; return ns per iteration."""
    began = time.perf_counter_ns()
    for index in range(iterations):
        step(index, print)
    return (time.perf_counter_ns() - began) / iterations


def short(duration_ns: int, iterations: int) -> dict[str, float]:
    """Return the medians of both loops and of their differences, in ns per iteration."""
    clock = time.perf_counter_ns

    def nothing(_index: int, _mark: object) -> None:
        pass

    def busy(_index: int, _mark: object) -> None:
        end = clock() + duration_ns
        while clock() < end:
            pass

    step = busy if duration_ns else nothing
    alone, ours = np.empty(REPETITIONS), np.empty(REPETITIONS)
    with collector_off():
        for repetition in range(REPETITIONS):
            span = make_span(duration_ns, iterations)
            if repetition % 2:
                alone[repetition] = bare(step, iterations)
            span.run(step, first=0, at_least=iterations, duration_ns=0)
            ours[repetition] = span.host_ns / span.iterations
            if not repetition % 2:
                alone[repetition] = bare(step, iterations)
    return {
        "bare_ns": float(np.median(alone)),
        "ours_ns": float(np.median(ours)),
        "cost_ns": float(np.median(ours - alone)),
    }


def long(duration_ns: int, rounds: int) -> dict[str, float]:
    """Return what both loops take between iterations, and the difference, in ns per iteration."""
    layout = make_span(duration_ns, 1).layout
    iterations = (layout.chunk + layout.rest) * layout.group
    alone = np.empty((rounds, iterations))
    ours = np.empty((rounds, iterations))
    with collector_off():
        for row in range(rounds):
            step, between = noting(duration_ns, 3 * iterations)
            bare(step, iterations + 1)
            alone[row] = between(iterations)
            step, between = noting(duration_ns, 3 * iterations)
            make_span(duration_ns, iterations + 1).run(step, first=0, at_least=iterations + 1, duration_ns=0)
            ours[row] = between(iterations)
    bare_ns, ours_ns = (float(np.median(found, axis=0).mean()) for found in (alone, ours))
    return {"bare_ns": bare_ns, "ours_ns": ours_ns, "cost_ns": ours_ns - bare_ns}


def noting(duration_ns: int, most: int) -> tuple[Step, Between]:
    """Return a step of `duration_ns`, and what tells the time between its first iterations."""
    clock = time.perf_counter_ns
    begins, ends = np.zeros(most, np.int64), np.zeros(most, np.int64)
    began, ended = memoryview(begins), memoryview(ends)  # type: ignore[arg-type]

    def step(index: int, _mark: object) -> None:
        now = clock()
        began[index] = now
        end = now + duration_ns
        _COLD.sum()
        while now < end:
            now = clock()
        ended[index] = now

    return step, lambda count: begins[1 : count + 1] - ends[:count]


def main() -> int:
    """Print the table; 1 when an iteration of any length costs more than 1 µs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {name: short(*case) for name, case in SHORT.items()}
    rows |= {name: long(*case) for name, case in LONG.items()}
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        for title, names in (("an iteration", SHORT), ("between iterations", LONG)):
            print(f"{title:>20} {'bare':>10} {'ours':>10} {'cost':>10}")
            for name in names:
                print(f"{name:>20} " + " ".join(f"{ns:>7,.0f} ns" for ns in rows[name].values()))
    return 0 if all(row["cost_ns"] <= LIMIT_NS for row in rows.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
