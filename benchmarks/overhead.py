"""What the harness itself costs: warm workers against new interpreters, `import torch`, planning, `--help`.

Run by `make bench-overhead`. Prints medians, and whether a no-op trial is cheap enough; on a busy machine
that says nothing.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.records import open_store
from harness.records.schema import Record

MOST_MS = 30.0
"""What a no-op trial may take beyond its span."""

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


@dataclass(frozen=True, slots=True)
class Trials:
    """What no-op trials took, medians over all of them."""

    beyond_ms: float
    """Wall of a worker, from its fork until it is reaped, without its span."""
    parts_ms: Mapping[str, float]
    """Of that, by what it went into."""
    worker_cpu_ms: float
    """CPU time of a worker without its span's."""
    cpu_s: float
    """CPU time of all processes of the sweep."""
    span_cpu_s: float
    """Of that, within spans."""
    wall_s: float
    imports: int
    """In how many processes torch was imported."""


def _trials(worker: str, count: int) -> Trials:
    """Run no-op trials."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(NOTES_TORCH)
        before = _children_cpu_s()
        wall_s = _timed(
            "run",
            "+experiment=overhead",
            f"seed=range({count})",
            f"run.worker={worker}",
            f"run.results={folder}/results",
            env={**os.environ, "PYTHONPATH": folder},
        )
        cpu_s = _children_cpu_s() - before
        imports = len(list(Path(folder).glob("*.torch")))
        records, _ = open_store(f"{folder}/results").records("overhead")
    parts = [_parts_ms(record) for record in records]
    spans_cpu_s = [_value(r, "cpu.time") * r.evidence["iterations"] for r in records]
    own = [r.worker.user_s + r.worker.system_s - cpu for r, cpu in zip(records, spans_cpu_s, strict=True)]
    return Trials(
        beyond_ms=statistics.median(sum(each.values()) for each in parts),
        parts_ms={name: statistics.median(each[name] for each in parts) for name in parts[0]},
        worker_cpu_ms=statistics.median(own) * 1e3,
        cpu_s=cpu_s,
        span_cpu_s=sum(spans_cpu_s),
        wall_s=wall_s,
        imports=imports,
    )


def _parts_ms(record: Record) -> dict[str, float]:
    """Return what a worker's wall went into beside its span, ms."""
    named = {"warm-up": "time.warmup", "build": "time.build", "first step": "time.first_iteration"}
    parts = {name: _value(record, metric) * 1e3 for name, metric in named.items()}
    whole = record.wall_s * 1e3 - record.evidence["span_ns"] / 1e6
    return parts | {"fork, start, summary, end": whole - sum(parts.values())}


def _value(record: Record, metric_id: str) -> float:
    metric = record.metric(metric_id)
    assert metric is not None, f"{metric_id} is of every trial"
    assert metric.value is not None, metric.reason
    return metric.value


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print_no_ops() -> bool:
    """Print what a no-op trial costs; return whether it keeps the bound."""
    few, warm, fresh = _trials("warm", 10), _trials("warm", 50), _trials("exec", 10)
    verdict = "pass" if warm.beyond_ms <= MOST_MS else "FAIL"
    print("a no-op trial, beyond its measured span:")
    print(f"  warm worker      {warm.beyond_ms:8.1f} ms (50 trials in {warm.wall_s:.1f} s)")
    for name, part_ms in warm.parts_ms.items():
        print(f"    {name:<26}{part_ms:6.1f} ms")
    print(f"  {verdict}: at most {MOST_MS:.0f} ms; load of the machine {os.getloadavg()[0]:.1f}")
    more_s = warm.cpu_s - warm.span_cpu_s - (few.cpu_s - few.span_cpu_s)
    print(
        f"  CPU time: {warm.worker_cpu_ms:.1f} ms of its worker, {more_s / 40 * 1e3:.1f} ms of all processes"
    )
    print(f"  new interpreter  {fresh.beyond_ms:8.1f} ms (10 trials in {fresh.wall_s:.1f} s)")
    print(f"ratio: {fresh.beyond_ms / warm.beyond_ms:.1f}")
    once, each = warm.imports, fresh.imports
    print(f"torch imported in {once} process for 50 trials of warm workers, in {each} for 10 of new ones")
    return verdict == "pass"


def main() -> int:
    """Measure and print; 1 where a no-op trial takes more than it may."""
    wall, cpu = _import_torch()
    print(f"import torch: {wall:.1f} s, of which {cpu:.1f} s on the CPU")
    kept = _print_no_ops()
    print(f"joulemark --help: {_timed('--help', repeat=10) * 1e3:.0f} ms")
    grid = ["workload=gpt,bert,mlp,lstm", "precision=fp32,bf16", "seed=range(125)", "device=cpu"]
    print(f"plan of 1,000 trials: {_timed('plan', *grid):.1f} s")
    return int(not kept)


if __name__ == "__main__":
    raise SystemExit(main())
