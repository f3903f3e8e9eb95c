"""NVBench's JSON: for each state of each benchmark its summaries, numbers written as texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import take
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result
from harness.records.foreign import ForeignResult

_S: dict[str, Any] = {"their_unit": "s", "phase": "a launch"}

TOOL = Tool(
    "nvbench",
    "0.1",
    "docs/benchmarks.md and nvbench/detail of NVIDIA/nvbench; a run takes a GPU: no file of one was read",
    (
        Definition(
            "nv/cold/time/gpu/mean", "nv/cold/time/gpu/mean", statistic="mean",
            meaning="device time by events of a launch behind a gate, after a flush of the last cache",
            ours="iteration.cold", **_S,
        ),
        Definition(
            "nv/batch/time/gpu/mean", "nv/batch/time/gpu/mean", statistic="mean",
            meaning="device time by events of many launches behind a gate, over their number",
            ours="iteration.gated", **_S,
        ),
        Definition(
            "nv/cold/time/cpu/mean", "nv/cold/time/cpu/mean", statistic="mean",
            meaning="host time of a launch and its synchronisation", **_S,
        ),
        Definition(
            "nv/cold/time/(?:gpu|cpu)/(?:min|max|median|stdev/absolute)", "nv/cold/time/gpu/min",
            statistic="as named", meaning="spread over launches", **_S,
        ),
        Definition(
            "nv/cold/bw/global/bytes_per_second", "nv/cold/bw/global/bytes_per_second", "B/s",
            "bytes / mean", "a launch", "declared bytes over the cold device time", direction="higher",
        ),
    ),
)  # fmt: skip


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield every number of every state that was not skipped."""
    for i, benchmark in enumerate(take(data, "benchmarks", list, "")):
        states = benchmark.get("states") if isinstance(benchmark, dict) else None
        if not isinstance(states, list):
            yield LeftOut(f"benchmarks.{i}.states: it is missing")
            continue
        for j, state in enumerate(states):
            where = f"benchmarks.{i}.states.{j}"
            if not isinstance(state, dict):
                yield LeftOut(f"{where}: expected an object")
            elif not state.get("is_skipped"):
                yield from _summaries(f"{str(benchmark.get('name'))[:200]} {_name(state)}", state, where)


def _name(state: dict[str, Any]) -> str:
    return str(state.get("name", ""))[:400]


def _summaries(name: str, state: dict[str, Any], where: str) -> Iterator[ForeignResult | LeftOut]:
    summaries = state.get("summaries")
    for k, summary in enumerate(summaries if isinstance(summaries, list) else ()):
        place = f"{where}.summaries.{k}"
        parts = summary.get("data") if isinstance(summary, dict) else None
        tag = summary.get("tag") if isinstance(summary, dict) else None
        if not isinstance(parts, list) or not isinstance(tag, str):
            yield LeftOut(f"{place}: it has no tag or no data")
            continue
        for part in parts:
            if isinstance(part, dict) and part.get("name") == "value" and part.get("type") != "string":
                yield result(TOOL, tag, name.strip(), tag, _number(part.get("value")), place)


def _number(value: Any) -> Any:
    """Return the number that a text is; what is none is left to the reader."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
