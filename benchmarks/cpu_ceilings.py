"""The CPU's ceilings against plain C compiled beside them: `make bench-cpu`, about a minute.

The two sides take turns in one run; a side's figure is its best repetition of all turns, as a ceiling's is.
Passes when the triad is at least 0.97 of STREAM's and the multiply-adds lie within 5 % of a loop by hand.
"""

from __future__ import annotations

import ctypes
import os
import random
import sys
from pathlib import Path

os.environ.setdefault("OMP_PROC_BIND", "true")  # the reference's threads are pinned as ours are

from harness.shim.cpu import ceilings
from harness.system import host, native

TURNS, REPS = 12, 6
ARRAYS_BYTES = 600 * 2**20
FMA_STEPS = 1 << 19
LEAST_TRIAD, FMA_APART = 0.97, 0.05


def main() -> int:
    """Print both ratios; 1 when one misses its mark."""
    team = ceilings.one_cpu_a_core()  # before OpenMP binds this thread to one of them
    source = Path(__file__).with_name("cpu") / "reference.c"
    reference = native.load("cpu-reference", [source], ("-O3", "-march=native", "-fopenmp"))
    size, c_int = ctypes.c_size_t, ctypes.c_int
    for function in (reference.stream_triad, reference.fma_by_hand):
        function.argtypes, function.restype = [size, c_int, c_int], ctypes.c_double
    n = ARRAYS_BYTES // 24 // 64 * 64

    def ours_triad() -> tuple[float, float | None]:
        found = ceilings.bandwidth("triad", team, ARRAYS_BYTES, REPS)
        return found.value or 0.0, found.per_cpu_s

    def ours_fma() -> tuple[float, float | None]:
        found = ceilings.fma("fma_f32", team, FMA_STEPS, REPS)
        return found.value or 0.0, found.per_cpu_s

    sides = {
        "triad": (ours_triad, lambda: (reference.stream_triad(n, len(team), REPS), None), "GB/s"),
        "fma fp32": (ours_fma, lambda: (reference.fma_by_hand(FMA_STEPS, len(team), REPS), None), "GFLOP/s"),
    }
    stolen = host.read_steal()
    order = random.Random(0)
    ok = True
    for name, (ours, theirs, unit) in sides.items():
        best = {"ours": 0.0, "theirs": 0.0}
        per_cpu = 0.0
        for _ in range(TURNS):
            turn = [("ours", ours), ("theirs", theirs)]
            order.shuffle(turn)
            for side, measure in turn:
                value, cpu = measure()
                best[side] = max(best[side], value)
                per_cpu = max(per_cpu, cpu or 0.0)
        ratio = best["ours"] / best["theirs"]
        good = ratio >= LEAST_TRIAD if name == "triad" else abs(ratio - 1) <= FMA_APART
        ok &= good
        print(
            f"{name:9} ours {best['ours'] / 1e9:8.1f}  reference {best['theirs'] / 1e9:8.1f} {unit}"
            f"  ratio {ratio:.3f} {'ok' if good else 'MISSED'}"
            f"  (per CPU-second of a thread {per_cpu / 1e9:.1f})"
        )
    steal = ceilings.steal_ratio(stolen, host.read_steal())
    print(f"{len(team)} threads, steal {'unknown' if steal is None else f'{steal:.2%}'}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
