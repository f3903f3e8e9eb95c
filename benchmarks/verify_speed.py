"""`joulemark verify` of a bundle of 10,000 honest records, as a command: time, and all its processes' memory.

A few records are made by the trial's own rules; the others are their numbers again under other replicas, each
sealed in its place, so that the audit does for each of them all that it does for any.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from standins import honest

from harness.bundles.archive import write_bundle
from harness.identity.fingerprint import workloads_digest
from harness.records.journal import Journal
from harness.records.store import Store
from harness.system.process import descendants_of
from harness.trial.work_count import cycles
from workloads.base import Units

MADE, ITERATIONS = 20, 200
MOST_S, MOST_MB = 20.0, 300.0
LOOK_S = 0.25


def make(store: Store, count: int, *, sensor: bool = False) -> None:
    """Write a sweep of two trials with `count` records in all, of this code's workloads."""
    planned = honest.plan()
    trial, code = planned.trials[0], honest.CODE | {"workloads_sha256": workloads_digest()}
    (units,) = cycles(trial.config, dict(trial.size), 1)
    options = {} if sensor else {"watts": None}
    records = honest.write_sweep(
        store, planned, MADE, ITERATIONS, code=code, cycle=[Units(**one) for one in units], **options
    )
    number, last = len(records), honest.sha256(honest.path_of(store, records[-1]).read_bytes())
    plan = store.sweep_dir("demo") / "plan.json"
    while number < count:
        source = honest.path_of(store, records[number % len(records)])
        began = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(minutes=number)
        told = json.loads(source.read_text()) | {"replica": number // 2, "started_at": began.isoformat()}
        told["seal"] |= {"number": number, "previous": last}
        # No two spans have the same clocks.
        told["evidence"]["audit"]["ranks"][0]["warmup_ns"] = 1000 + number
        next(m for m in told["metrics"] if m["id"] == "time.warmup")["value"] = (1000 + number) / 1e9
        folder = source.parents[1] / f"r{number // 2:02d}-a00"
        folder.mkdir()
        data = json.dumps(told).encode()
        (folder / "record.json").write_bytes(data)
        for name in ("loop.parquet", "trace.parquet", "log.txt"):
            if source.with_name(name).exists():
                os.link(source.with_name(name), folder / name)
        number, last = number + 1, honest.sha256(data)
    honest.edit(plan, lambda p: [t.update(replicas=count // 2) for t in p["trials"]])


def memory_mb(process: int) -> float:
    """Return what a process takes, pages that it shares by their share; 0 where it has ended."""
    try:
        told = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in told.splitlines() if line.startswith("Pss:")), 0.0)


def main() -> int:
    """Measure, print, and return 1 where it took more than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--sensor", action="store_true", help="each with a gauge's trace at 100 Hz")
    options = parser.parse_args()
    count = options.records
    with tempfile.TemporaryDirectory(prefix="joulemark-verify-") as scratch:
        folder = Path(scratch)
        store = Store(folder / "results", Journal(folder / "journal"))
        make(store, count, sensor=options.sensor)
        bundle = folder / "demo.tar"
        write_bundle(store, ["demo"], bundle)
        size_mb = bundle.stat().st_size / 1e6
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        verify = [sys.executable, "-m", "harness.cli", "verify", str(bundle)]
        process, peak_mb = subprocess.Popen(verify), 0.0
        while process.poll() is None:
            time.sleep(LOOK_S)
            peak_mb = max(peak_mb, sum(map(memory_mb, (process.pid, *descendants_of(process.pid)))))
        wall_s, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    passed = process.returncode == 0 and wall_s <= MOST_S and peak_mb <= MOST_MB
    print(f"{count} records of {ITERATIONS} iterations, {size_mb:.0f} MB")
    print(f"{wall_s:.1f} s, {cpu_s:.1f} s of CPU time, {peak_mb:.0f} MB in all processes at most")
    print(f"{'pass' if passed else 'FAIL'}: at most {MOST_S:g} s and {MOST_MB:g} MB")
    return int(not passed)


if __name__ == "__main__":
    raise SystemExit(main())
