"""What a report of many trials costs: seconds, memory and bytes, of this build beside an earlier one.

Run by `make bench-report`. The records are synthetic, nearly as large as real ones of the demo (16 kB), and
of schema 1 so that both builds read them. The earlier build is checked out of git into a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.records.metrics import METRICS, make

BEFORE = "c26ec0a"
"""The last commit before reports were built for many trials."""
BOUNDS = {
    "html": (("wall_s", "s", 10.0), ("peak_mb", "MB", 600.0), ("page_mb", "MB on disk", 3.0)),
    "pdf": (("wall_s", "s", 20.0),),
}
"""Of a report of 10,000 trials, once the index knows them."""
LESS_CPU = 6.0
REPLICAS = 3
ITERATIONS = 138
WORKLOADS = ("bert", "gpt", "lstm", "mlp", "resnet", "t5", "unet", "vit", "whisper", "dlrm")
MODES = ("train", "infer")
PRECISIONS = ("fp32", "bf16", "fp16", "int8", "fp8")
OPTIMIZE = ("eager", "compile", "channels_last", "checkpoint")
NO_SENSOR = "no sensor: /sys/class/powercap holds no readable RAPL domain"
MACHINE = {
    "host_processor_model_name": "Example 9 CPU", "host_processor_vcpu_count": 2, "host_memory_bytes": 2**34,
    "operating_system": "Linux", "kernel": "6.8", "accelerators_per_node": 0,
}  # fmt: skip
CODE = {"joulemark": "0.1.0", "torch": "2.13.0", "python": "CPython 3.11.9", "git_commit": "e" * 40}
_GIVEN = {
    "iteration.mean": 0.0145, "latency.p50": 0.0139, "latency.p90": 0.0203, "time.first_iteration": 0.19,
    "time.build": 2.9, "time.warmup": 0.9, "cpu.time": 0.0062, "flops.rate": 1.04e10,
    "memory.peak_rss": 3.2e8, "loss.first": 1.4, "loss.last": 0.01,
}  # fmt: skip
_COUNTED = {
    "flops.step": 1.5e8, "memory.weights": 5.8e6, "memory.optimizer": 1.2e7, "model.parameters": 1444868.0,
}  # fmt: skip
_MISSING = (
    "energy.iteration", "energy.iteration.uncertainty", "energy.sample", "energy.token", "efficiency.samples",
    "efficiency.tokens", "power.mean", "power.peak", "power.idle",
)  # fmt: skip


def _config(index: int) -> dict[str, Any]:
    workload, rest = WORKLOADS[index % 10], index // 10
    mode, rest = MODES[rest % 2], rest // 2
    precision, rest = PRECISIONS[rest % 5], rest // 5
    optimize, batch = OPTIMIZE[rest % 4], 8 * (1 + rest // 4)
    words = [f"workload={workload}", f"workload.mode={mode}", f"precision={precision}",
             f"optimize={optimize}", f"workload.batch={batch}"]  # fmt: skip
    return {
        "seed": 0,
        "workload": {"name": workload, "mode": mode, "size": "tiny", "batch": batch, "shape": {}},
        "compress": {"name": "none", "settings": {}},
        "parallel": {"name": "none", "ranks": 1, "settings": {}},
        "precision": {"name": precision},
        "optimize": {"name": optimize},
        "device": {"kind": "cpu", "index": 0, "threads": 2},
        "measure": {"preset": "demo", "replicas": REPLICAS, "max_replicas": REPLICAS, "seconds": 2.0,
                    "warmup_s": 0.5, "within_run_only": False, "soak": False, "target_cpu": 0.2},
        "power": {"sensor": "auto"},
        "run": {"name": "many", "worker": "warm", "timeout_s": 120.0},
        "price": {"name": "none"},
        "report": {"title": None, "limits": {}},
        "overrides": words,
    }  # fmt: skip


def _metrics(speed: float, draw: random.Random) -> list[dict[str, Any]]:
    """One replica's: what is timed scatters by 2 % about a speed relative to the middle of all."""
    at = speed * draw.lognormvariate(0, 0.02)
    values: dict[str, float | None] = {
        "throughput.samples": 4408.0 * at,
        "throughput.tokens": 210018.0 * at,
        **{name: value / at if METRICS[name].unit == "s" else value * at for name, value in _GIVEN.items()},
        **_COUNTED,
    }
    found = [make(name, value) for name, value in values.items()]
    found += [make(name, None, reason=NO_SENSOR) for name in _MISSING]
    return [asdict(metric) for metric in found]


def _evidence(draw: random.Random) -> dict[str, Any]:
    """Facts as a replica of the demo leaves them, with what differs from one to the next."""
    device = {"source": "none", "device": "all", "in_total": True, "method": "none", "joules": None,
              "reason": NO_SENSOR, "flags": [], "sensors": []}  # fmt: skip
    cycle = [{"samples": 64, "tokens": 2985, "requests": 0, "flops": 1.5e8, "least_bytes": 5.8e6}] * 8
    contention = {"delay_share": draw.uniform(0, 0.02), "others_cpus": draw.uniform(0, 0.05), "cpus": 2,
                  "threads": 2, "unknown": {}}  # fmt: skip
    rank = {"warmup_iterations": draw.randrange(200), "iterations": draw.randrange(99, 300), "cycle": cycle}
    return {
        "steady": True, "drift": False, "timing_flags": [], "iterations": ITERATIONS, "tick_ns": 1,
        "span_ns": draw.randrange(10**9, 3 * 10**9), "host_ns": draw.randrange(10**9, 3 * 10**9),
        "steal_ratio": 0.01, "clean_share": 0.0, "contention": contention,
        "all_zero": [], "output_ok": True, "loss_finite": True, "sensor_method": "none", "sensor_flags": [],
        "roofline": {"reason": "no certificate holds for this device"},
        "device": {"kind": "cpu", "name": "Example 9 CPU", "threads": 2, "logical_cpus": 2},
        "energy": {"span_s": draw.uniform(1, 3), "joules": None, "method": "none", "reason": NO_SENSOR,
                   "flags": [], "devices": [device]},
        "audit": {"version": 1, "ranks": [rank]},
    }  # fmt: skip


def write_records(root: Path, trials: int, seed: int = 0) -> int:
    """Write the records of a sweep `many`, and return their bytes."""
    draw, total = random.Random(seed), 0
    machine_id = "c" * 64
    for index in range(trials):
        config, speed = _config(index), draw.lognormvariate(0, 0.5)
        label = " ".join(w.partition("=")[2] for w in config["overrides"])
        for replica in range(REPLICAS):
            record = {
                "schema_version": 1, "sweep": "many", "label": label, "work_id": f"{index:016x}",
                "trial_id": f"{index:016x}", "machine_id": machine_id, "code_id": "d" * 64,
                "replica": replica, "attempt": 0, "round_order": index, "status": "ok", "phase": "done",
                "reason": None,
                "started_at": "2026-01-01T00:00:00Z", "wall_s": 7.0, "config": config, "machine": MACHINE,
                "code": CODE, "metrics": _metrics(speed, draw), "evidence": _evidence(draw),
                "series": {k: [draw.random() for _ in range(ITERATIONS)] for k in ("iteration_s", "loss")},
                "worker": {"kind": "warm", "pid": 5, "exit_code": 0}, "log_tail": "",
            }  # fmt: skip
            folder = root / "many" / machine_id / record["trial_id"] / f"r{replica:02d}-a00"
            folder.mkdir(parents=True)
            data = json.dumps(record).encode()
            (folder / "record.json").write_bytes(data)
            total += len(data)
    return total


def _measured(tree: Path, results: Path, out: Path, form: str) -> dict[str, float]:
    """Run a build's report in a process of its own."""
    words = [
        "-m",
        "harness.cli",
        "report",
        "many",
        "--results",
        str(results),
        "--format",
        form,
        "-o",
        str(out),
    ]
    began = time.monotonic()
    pid = subprocess.Popen([sys.executable, *words], cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}).pid
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"the report of {tree} failed with status {status}")
    return {
        "wall_s": time.monotonic() - began,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
        "page_mb": (out / f"report.{form}").stat().st_size / 1e6,
    }


def _shown(name: str, trials: int, form: str, found: dict[str, float]) -> str:
    each = 1e3 * found["cpu_s"] / trials
    return (
        f"{name:<9} {trials:>6} {form:<5} {found['wall_s']:7.1f} s {found['cpu_s']:7.1f} s CPU "
        f"{each:7.2f} ms a trial {found['peak_mb']:6.0f} MB {found['page_mb']:6.2f} MB on disk"
    )


def _kept(form: str, found: dict[str, float]) -> bool:
    """Hold a report against its bounds, and print how it stands."""
    checks = [
        _said(f"{form}: {found[key]:.1f} {unit}, at most {most:g}", found[key] <= most)
        for key, unit, most in BOUNDS[form]
    ]
    return all(checks)


def _said(text: str, good: bool) -> bool:
    print(f"{'pass' if good else 'FAIL'}  {text}", flush=True)
    return good


def main() -> int:
    """Measure and print; 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument(
        "--before", type=int, default=3_334, help="trials for the earlier build; 0 leaves it out"
    )
    options = parser.parse_args()
    here = Path(__file__).resolve().parent.parent
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_records(root / "results", options.trials)
        print(
            f"{options.trials} trials, {REPLICAS * options.trials} records, {size / 1e6:.0f} MB", flush=True
        )
        kept = True
        each: dict[str, float] = {}
        # The first report reads every record; what it knows of them is kept for the others.
        for name, form in (("first", "html"), ("this", "html"), ("this", "pdf")):
            found = _measured(here, root / "results", root / "out", form)
            print(_shown(name, options.trials, form, found), flush=True)
            if name == "this":
                kept &= _kept(form, found)
                each[form] = found["cpu_s"] / options.trials
        if options.before:
            tree = root / "before"
            subprocess.run(
                ["git", "worktree", "add", "--detach", "--quiet", str(tree), BEFORE], cwd=here, check=True
            )
            try:
                write_records(root / "fewer", options.before)
                for form in ("html", "pdf"):
                    found = _measured(tree, root / "fewer", root / "out-before", form)
                    print(_shown(BEFORE, options.before, form, found), flush=True)
                    less = found["cpu_s"] / options.before / each[form]
                    kept &= form != "html" or _said(f"{less:.1f} times less CPU a trial", less >= LESS_CPU)
            finally:
                subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=here, check=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
