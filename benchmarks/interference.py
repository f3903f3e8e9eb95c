"""What the interference filter keeps when the host's clocks are read more or less often (docs/statistics.md).

A simulated thread runs equal iterations for five seconds on machines that take it off its CPU: now and then
for 0.05 ms, and in bursts, whose other process has the CPU for 3 ms of every 6 ms. Its clocks are read as
`harness.timing.loop.Span` reads them, under several layouts, and judged by the harness's own filter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.timing.loop import ROUND_ITERATIONS, Layout, Stretches
from harness.trial.metrics import CLEAN_SHARE

Floats = npt.NDArray[np.float64]
TICK_S = 1e-4
SPAN_S = 5.0
REPETITIONS = 150
LAYOUTS = {
    "every iteration": Layout(1, 1),
    "six at a time": Layout(1, 6),
    "one in 17": Layout(1, 1, 16),
    f"one in {ROUND_ITERATIONS}": Layout(1, 1, ROUND_ITERATIONS - 1),
}


class Machine(NamedTuple):
    """How often a second a thread is disturbed, and how long bursts last on average."""

    short_per_s: float
    bursts_per_s: float
    burst_s: float


MACHINES = {"shared": Machine(8, 1, 0.05), "busy": Machine(20, 3, 0.1)}


def session(machine: Machine, rng: np.random.Generator) -> Floats:
    """Return work, CPU time and involuntary switches by every tick, shape (3, ticks + 1)."""
    ticks = round(4 * SPAN_S / TICK_S)
    cpu, switches = np.ones(ticks), np.zeros(ticks)
    short = rng.random(ticks) < machine.short_per_s * TICK_S
    cpu[short], switches[short] = 0.5, 1
    for start in rng.integers(0, ticks, rng.poisson(machine.bursts_per_s * ticks * TICK_S)):
        burst = np.arange(start, min(ticks, start + 1 + rng.exponential(machine.burst_s) / TICK_S), dtype=int)
        cpu[burst[burst // 30 % 2 == 1]] = 0
        switches[burst[burst % 60 == 30]] += 1
    pace = np.repeat(1 + rng.normal(0, 0.005, ticks // 100), 100)
    return np.hstack([np.zeros((3, 1)), np.cumsum([cpu * pace * TICK_S, cpu * TICK_S, switches], axis=1)])


def measure(seen: Floats, iteration_s: float, layout: Layout) -> tuple[float, float]:
    """Return the plain and the clean mean over the truth, less 1; NaN where the latter is not published."""
    work, cpu, switches = seen
    ends = np.interp(np.arange(int(work[-1] / iteration_s)) * iteration_s, work, np.arange(len(work)))
    ends = ends[ends * TICK_S <= SPAN_S]
    at_round = np.arange(0, len(ends), layout.chunk + layout.rest)
    read = np.unique([at_round, np.minimum(at_round + layout.chunk, len(ends) - 1)])
    ticks = ends[read]
    wall_ns, cpu_ns, involuntary = (
        values.astype(np.int64)
        for values in (
            ticks * TICK_S * 1e9,
            np.interp(ticks, np.arange(len(cpu)), cpu) * 1e9,
            switches[ticks.astype(int)],
        )
    )
    stretches = Stretches(read, wall_ns, cpu_ns, involuntary, 2 if layout.rest else 1)
    kept, clean_ns = stretches.clean_work()
    plain = ends[-1] * TICK_S / (len(ends) - 1) / iteration_s - 1
    if stretches.clean_share() < CLEAN_SHARE:
        return plain, np.nan
    return plain, clean_ns / 1e9 / kept / iteration_s - 1


def main() -> None:
    """Print the table."""
    print("| machine | iteration | plain mean, sd | judged | clean mean published | its bias | its sd |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for name, machine in MACHINES.items():
        rng = np.random.default_rng(0)
        sessions = [session(machine, rng) for _ in range(REPETITIONS)]
        for iteration_s in (0.01, 0.03, 0.1):
            for how, layout in LAYOUTS.items():
                plain, clean = np.array([measure(seen, iteration_s, layout) for seen in sessions]).T
                known = clean[np.isfinite(clean)]
                tells = f"{known.mean():.2%} | {known.std():.2%}" if len(known) > 9 else "none | none"
                print(
                    f"| {name} | {iteration_s * 1e3:.0f} ms | {plain.std():.1%} | {how} "
                    f"| {len(known) / REPETITIONS:.0%} | {tells} |"
                )


if __name__ == "__main__":
    main()
