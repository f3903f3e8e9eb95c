"""What the harness itself costs: warm workers against new interpreters, `import torch`, planning, `--help`.

Run by `make bench-overhead`. Prints medians; nothing is asserted, since they depend on the machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from harness.records import open_store

# Every interpreter runs this first: one that imports torch's extension leaves its process id.
NOTES_TORCH = """
import os, sys
class Notes:
    def find_spec(self, name, path=None, target=None):
        if name == "torch._C":
            open(os.path.join(os.path.dirname(__file__), f"{os.getpid()}.torch"), "w").close()
sys.meta_path.insert(0, Notes())
"""


def _timed(*arguments: str, repeat: int = 1, env: Mapping[str, str] = os.environ) -> float:
    """Return the median wall seconds of a command."""
    walls = []
    for _ in range(repeat):
        began = time.monotonic()
        command = [sys.executable, "-m", "harness.cli", *arguments]
        subprocess.run(command, capture_output=True, check=True, env=env)
        walls.append(time.monotonic() - began)
    return statistics.median(walls)


def _import_torch(repeat: int = 5) -> tuple[float, float]:
    """Return the median wall and CPU seconds of `import torch` in a new interpreter."""
    timed = "import time; w, c = time.time(), time.process_time(); import torch; "
    command = [sys.executable, "-c", f"{timed}print(time.time() - w, time.process_time() - c)"]
    found = [
        tuple(map(float, subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()))
        for _ in range(repeat)
    ]
    return statistics.median(wall for wall, _ in found), statistics.median(cpu for _, cpu in found)


def _beyond_measuring(worker: str, trials: int) -> tuple[float, float, int]:
    """Run no-op trials.

    Returns:
        The median seconds that one costs beyond its span, the sweep's wall, and in how many processes torch
        was imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(NOTES_TORCH)
        wall = _timed(
            "run",
            "+experiment=overhead",
            f"seed=range({trials})",
            f"run.worker={worker}",
            f"run.results={folder}/results",
            env={**os.environ, "PYTHONPATH": folder},
        )
        imports = len(list(Path(folder).glob("*.torch")))
        records, _ = open_store(f"{folder}/results").records("overhead")
    beyond = [r.wall_s - r.evidence["span_ns"] / 1e9 for r in records]
    return statistics.median(beyond), wall, imports


def main() -> None:
    """Measure and print."""
    wall, cpu = _import_torch()
    print(f"import torch: {wall:.1f} s, of which {cpu:.1f} s on the CPU")
    warm, warm_wall, once = _beyond_measuring("warm", 50)
    fresh, fresh_wall, each = _beyond_measuring("exec", 10)
    print("a no-op trial, beyond its measured span:")
    print(f"  warm worker      {warm * 1e3:8.1f} ms (50 trials in {warm_wall:.1f} s)")
    print(f"  new interpreter  {fresh * 1e3:8.1f} ms (10 trials in {fresh_wall:.1f} s)")
    print(f"ratio: {fresh / warm:.1f}")
    print(f"torch imported in {once} process for 50 trials of warm workers, in {each} for 10 of new ones")
    print(f"joulemark --help: {_timed('--help', repeat=10) * 1e3:.0f} ms")
    grid = ["workload=gpt,bert,mlp,lstm", "precision=fp32,bf16", "seed=range(125)", "device=cpu"]
    print(f"plan of 1,000 trials: {_timed('plan', *grid):.1f} s")


if __name__ == "__main__":
    main()
