"""SuperBench's `results-summary.jsonl`: an object a node, whose keys name benchmark, metric and rank."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import NUMBER, FieldError, take
from harness.records.foreign import ForeignResult


def results(data: Any) -> Iterator[ForeignResult]:
    """Yield every number of every node; return codes and other words are left out.

    The format names no units. Times of steps are milliseconds and throughputs are samples a second by the
    tool's own documents.
    """
    for i, node in enumerate(data, 1):
        where = f"line {i}"
        name = take(node, "node", str, where)
        for key, value in node.items():
            if key == "node" or value is None or "return_code" in key:
                continue
            if not isinstance(value, NUMBER) or isinstance(value, bool):
                raise FieldError(f"{where}.{key}: {type(value).__name__} is not a number")
            benchmark, _, metric = key.rpartition("/")
            if not benchmark:
                raise FieldError(f"{where}.{key}: not BENCHMARK/METRIC")
            is_time, is_rate = "_time" in metric, "throughput" in metric
            yield ForeignResult(
                name=f"{name} {benchmark}",
                metric=metric,
                value=value / 1e3 if is_time else value,
                unit="s" if is_time else "samples/s" if is_rate else "",
                direction="lower" if is_time else "higher" if is_rate else "none",
                comparable_to="iteration.mean" if is_time else "throughput.samples" if is_rate else None,
                facts={"node": name},
            )
