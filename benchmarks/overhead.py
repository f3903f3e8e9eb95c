"""What the harness itself costs: a warm worker against a new interpreter, planning, and `--help`.

Run by `make bench-overhead`. Prints medians; nothing is asserted, since they depend on the machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

from harness.records import open_store


def _timed(*arguments: str, repeat: int = 1) -> float:
    """Return the median wall seconds of a command."""
    walls = []
    for _ in range(repeat):
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "harness.cli", *arguments], capture_output=True, check=True)
        walls.append(time.monotonic() - began)
    return statistics.median(walls)


def _beyond_measuring(worker: str, trials: int) -> tuple[float, float]:
    """Run no-op trials; return the median seconds that one costs beyond its span, and the sweep's wall."""
    with tempfile.TemporaryDirectory() as folder:
        wall = _timed(
            "run",
            "+experiment=overhead",
            f"seed=range({trials})",
            f"run.worker={worker}",
            f"run.results={folder}",
        )
        records, _ = open_store(folder).records("overhead")
    beyond = [r.wall_s - r.evidence["span_ns"] / 1e9 for r in records]
    return statistics.median(beyond), wall


def main() -> None:
    """Measure and print."""
    warm, warm_wall = _beyond_measuring("warm", 50)
    fresh, fresh_wall = _beyond_measuring("exec", 10)
    print("a no-op trial, beyond its measured span:")
    print(f"  warm worker      {warm * 1e3:8.1f} ms (50 trials in {warm_wall:.1f} s)")
    print(f"  new interpreter  {fresh * 1e3:8.1f} ms (10 trials in {fresh_wall:.1f} s)")
    print(f"ratio: {fresh / warm:.1f}")
    print(f"joulemark --help: {_timed('--help', repeat=10) * 1e3:.0f} ms")
    grid = ["workload=gpt,bert,mlp,lstm", "precision=fp32,bf16", "seed=range(125)", "device=cpu"]
    print(f"plan of 1,000 trials: {_timed('plan', *grid):.1f} s")


if __name__ == "__main__":
    main()
