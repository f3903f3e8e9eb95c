"""pytest-benchmark's JSON: the mean of each benchmark, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import NUMBER, take
from harness.records.foreign import ForeignResult


def results(data: Any) -> Iterator[ForeignResult]:
    """Yield mean and median of every benchmark."""
    machine = data.get("machine_info") if isinstance(data, dict) else None
    for i, bench in enumerate(take(data, "benchmarks", list, "")):
        where = f"benchmarks.{i}"
        stats = take(bench, "stats", dict, where)
        for metric in ("mean", "median"):
            yield ForeignResult(
                name=take(bench, "fullname", str, where),
                metric=metric,
                value=take(stats, metric, NUMBER, f"{where}.stats"),
                unit="s",
                direction="lower",
                comparable_to="iteration.mean" if metric == "mean" else "latency.p50",
                n=take(stats, "rounds", int, f"{where}.stats"),
                facts={"machine_info": machine, "params": bench.get("params")},
            )
