"""pytest-benchmark's JSON: the mean of each benchmark, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import take
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result
from harness.records.foreign import ForeignResult

TOOL = Tool(
    "pytest-benchmark",
    "5.3",
    "pytest-benchmark's documentation, “Calibration” and “Glossary”",
    (
        Definition(
            "mean", "mean", "s", "mean over rounds", "one call of the function",
            "host time of a round over its calls", ours="iteration.mean",
        ),
        Definition(
            "median", "median", "s", "median over rounds", "one call of the function",
            "host time of a round over its calls", ours="latency.p50",
        ),
    ),
)  # fmt: skip


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield mean and median of every benchmark."""
    machine = data.get("machine_info") if isinstance(data, dict) else None
    for i, bench in enumerate(take(data, "benchmarks", list, "")):
        where = f"benchmarks.{i}"
        stats, name = (
            (bench.get(k) for k in ("stats", "fullname")) if isinstance(bench, dict) else (None, None)
        )
        if not isinstance(stats, dict) or not isinstance(name, str):
            yield LeftOut(f"{where}.{'stats' if isinstance(name, str) else 'fullname'}: it is missing")
            continue
        rounds = stats.get("rounds")
        for metric in ("mean", "median"):
            if metric not in stats:
                yield LeftOut(f"{where}.stats.{metric}: it is missing")
                continue
            yield result(
                TOOL, metric, name, metric, stats[metric], f"{where}.stats.{metric}",
                n=rounds if type(rounds) is int and rounds >= 0 else None,
                facts={"machine_info": machine, "params": bench.get("params")},
            )  # fmt: skip
