"""Index, query and no-op trials of this build and an earlier one, on the same records, in turn.

Run by `make bench-scale`. Prints what each took and the ratios, and for each bound whether it was kept; one
that was not makes the exit code 1. Ratios hold on any machine, seconds on an idle one.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.overhead import MOST_MS
from benchmarks.scale_bench.made import SWEEP, make

BASE = "c26ec0a"
"""The build that is compared with: the last one whose index was derived whole."""
_HERE = Path(__file__).parents[2]
_MEASURED = """
import json, resource, sys, time
from harness.records import open_store
from harness.records.index import query, rebuild
what, store = sys.argv[1], open_store(sys.argv[2])
began, cpu = time.perf_counter(), time.process_time()
found = {}
if what == "index":
    found["rows"] = rebuild(store)
elif what == "list":
    found["rows"] = sum(1 for _ in store.record_paths())
else:
    found["rows"] = query(store, sys.argv[3]).rows
found["wall_s"] = time.perf_counter() - began
found["cpu_s"] = time.process_time() - cpu
found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print("\\n" + json.dumps(found))  # after a bar of progress, which an earlier build draws where it takes long
"""
_QUERY = (
    "SELECT workload, count(*), avg(value) FROM metrics JOIN records USING (trial_id, replica, attempt) "
    "WHERE metric_id = 'iteration.mean' GROUP BY workload"
)
LEAST_RATIO = 8.0
"""Of the CPU time that an index takes the earlier build to ours."""
LARGEST_MB = 400.0
LARGEST_ADDED_S = 0.3
"""From one more record to the answer, beyond listing the files, up to 30,000 records."""
LARGEST_QUERY_S = 0.5
"""Of a query once all is indexed, beyond listing the files."""
_JUDGED_ADDED = 30_000
_verdicts: list[str] = []
"""Of each bound, in the order in which they were judged."""
_NOOP = ("run", "+experiment=overhead", "seed=range(50)", "measure.steady_window_s=0.002")


def _judged(what: str, value: float, bound: float, *, least: bool = False) -> str:
    """Return whether a figure keeps its bound, in words, and remember them for the end."""
    kept = value >= bound if least else value <= bound
    verdict = f"{'pass' if kept else 'FAIL'} ({'at least' if least else 'at most'} {bound:g})"
    _verdicts.append(f"{verdict}: {what}, {value:.3g}")
    return verdict


def _python(build: Path, *arguments: str, folder: Path) -> str:
    """Run a build's code by this interpreter, with the libraries of this environment."""
    environment = {**os.environ, "PYTHONPATH": str(build)}
    command = [sys.executable, "-P", *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{build.name}: {done.stderr[-2000:]}")
    return done.stdout


def _measured(build: Path, what: str, root: Path, *sql: str) -> Any:
    """Return what a build takes to index a store, list it or query it."""
    printed = _python(build, "-c", _MEASURED, what, str(root), *sql, folder=root.parent)
    return json.loads(printed.splitlines()[-1])


def _base(folder: Path, commit: str) -> Path:
    """Lay the earlier build's files into a folder."""
    packed = subprocess.run(["git", "-C", _HERE, "archive", commit], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _beyond_ms(build: Path, scratch: Path) -> tuple[float, float]:
    """Run fifty no-op trials; return the median ms of one beyond its span, and beyond its warm-up too."""
    with tempfile.TemporaryDirectory(dir=scratch) as results:
        _python(build, "-m", "harness.cli", *_NOOP, f"run.results={results}", folder=scratch)
        records = [json.loads(path.read_bytes()) for path in Path(results).rglob("record.json")]
    beyond = [r["wall_s"] * 1e3 - r["evidence"]["span_ns"] / 1e6 for r in records]
    warm = [m["value"] * 1e3 for r in records for m in r["metrics"] if m["id"] == "time.warmup"]
    own = [whole - warming for whole, warming in zip(beyond, warm, strict=True)]
    return statistics.median(beyond), statistics.median(own)


def _turns(builds: dict[str, Path], rounds: int, measure: Callable[[Path], Any]) -> dict[str, list[Any]]:
    """Measure each build in turn, the earlier one first in one round and last in the next."""
    found: dict[str, list[Any]] = {name: [] for name in builds}
    for number in range(rounds):
        for name in sorted(builds, reverse=bool(number % 2)):
            found[name].append(measure(builds[name]))
    return found


def _no_ops(builds: dict[str, Path], scratch: Path, rounds: int) -> None:
    beyond = _turns(builds, rounds, lambda build: _beyond_ms(build, scratch))
    print(f"a no-op trial, the least median of {rounds} sweeps:")
    for place, what in enumerate(("beyond its span", "beyond its span and warm-up")):
        base, head = (min(one[place] for one in beyond[name]) for name in ("base", "head"))
        print(f"  {what:<28} base {base:6.1f} ms   head {head:6.1f} ms   ratio {base / head:.1f}")
        if not place:
            print(
                f"  no-op trial: {_judged('ms of a no-op trial beyond its span', head, MOST_MS)}", flush=True
            )


def _indexes(builds: dict[str, Path], root: Path, records: int, rounds: int) -> None:
    def measure(build: Path) -> Any:
        return _measured(build, "index", root)

    found = _turns(builds, rounds, measure)
    cpu = {name: min(one["cpu_s"] for one in of) for name, of in found.items()}
    print(f"index of {records:,} records:")
    for name, of in found.items():
        peak = max(one["peak_mb"] for one in of)
        print(f"  {name:<5} {cpu[name]:8.2f} s of CPU   {peak:7.0f} MB")
    ratio, peak = cpu["base"] / cpu["head"], max(one["peak_mb"] for one in found["head"])
    what = f"times less CPU for an index of {records:,} records"
    print(f"  ratio {ratio:.1f}: {_judged(what, ratio, LEAST_RATIO, least=True)}")
    print(f"  memory: {_judged(f'MB for an index of {records:,} records', peak, LARGEST_MB)}", flush=True)


def _queries(head: Path, root: Path, example: Path, records: int) -> None:
    """Time this build's query of an index that is there, and after one more record."""

    def timed(what: str, *sql: str) -> float:
        runs = [_measured(head, what, root, *sql) for _ in range(3)]
        return float(min(one["wall_s"] for one in runs))

    timed("query", "SELECT 1 FROM records")
    listed, asked = timed("list"), timed("query", _QUERY)
    beyond = asked - listed
    print(
        f"{records:,} records, indexed: a query {asked:.2f} s, of which listing the files {listed:.2f} s; "
        f"beyond it {beyond:.2f} s: {_judged(f's of a query of {records:,}', beyond, LARGEST_QUERY_S)}"
    )
    more = []
    for number in range(records, records + 3):
        make(example, root, number, number + 1)
        more.append(_measured(head, "query", root, _QUERY)["wall_s"])
    beyond = min(more) - listed
    verdict = ""
    if records <= _JUDGED_ADDED:
        verdict = f": {_judged(f's with one record added to {records:,}', beyond, LARGEST_ADDED_S)}"
    print(f"  one record added: {min(more):.2f} s, {beyond:.2f} s beyond listing{verdict}", flush=True)


def main() -> int:
    """Measure and print; 1 where a bound was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--both-up-to", type=int, default=30_000, help="more records only for this build")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--no-op-rounds", type=int, default=2, help="0 leaves the no-op trials out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="joulemark-scale-") as folder:
        scratch = Path(folder)
        builds = {"base": _base(scratch / "base", options.base), "head": _HERE}
        if options.no_op_rounds:
            _no_ops(builds, scratch, options.no_op_rounds)
        _python(_HERE, "-m", "harness.cli", "run", "workload=gpt", "workload.size=tiny", "measure=quick",
                "measure.replicas=1", "run.name=example", f"run.results={scratch / 'example'}",
                folder=scratch)  # fmt: skip
        example = next((scratch / "example").rglob("record.json"))
        root, made = scratch / "results", 0
        for records in sorted(options.records):
            make(example, root, made, records)
            made = records
            if records <= options.both_up_to:
                _indexes(builds, root, records, options.rounds if records <= 10_000 else 1)
            _queries(builds["head"], root, example, records)
            made += 3
            size = sum(p.stat().st_size for p in (root / SWEEP).rglob("record.json"))
            index = sum(p.stat().st_size for p in (root / "index").rglob("*") if p.is_file())
            print(f"  {size / made:,.0f} B a record, {index / made:,.0f} B of index a record", flush=True)
    print(f"all bounds, at a load of {os.getloadavg()[0]:.1f}:")
    for verdict in _verdicts:
        print(f"  {verdict}")
    return int(any(verdict.startswith("FAIL") for verdict in _verdicts))


if __name__ == "__main__":
    raise SystemExit(main())
