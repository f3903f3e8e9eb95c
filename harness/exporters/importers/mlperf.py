"""The tables of results that MLPerf Inference publishes with each round, `summary_results.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.exporters.importers import FieldError
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result
from harness.records.foreign import ForeignResult

_FACTS = (
    *("ID", "Submitter", "Availability", "Category", "Suite", "System", "Platform", "Accuracy", "Nodes"),
    *("Division", "Processor", "host_processors_per_node", "host_processor_core_count", "Accelerator", "a#"),
    *("Software", "operating_system", "version", "has_power", "weight_data_types", "Details"),
)
_RATE: dict[str, Any] = {"statistic": "total / total time", "phase": "a scenario", "direction": "higher"}

TOOL = Tool(
    "mlperf",
    "Inference v4.1 to v5.1",
    "inference_rules.adoc of mlcommons/inference_policies, section Scenarios",
    (
        Definition(
            r"offline.*\.tokens/s", "offline.tokens/s", "tokens/s",
            meaning="tokens of the answers, all requests at once", ours="throughput.tokens", **_RATE,
        ),
        Definition(
            r"offline.*\.samples/s", "offline.samples/s", "samples/s",
            meaning="samples, all requests at once", ours="throughput.samples", **_RATE,
        ),
        Definition(
            r"(?:server|interactive).*\.tokens/s", "server.tokens/s", "tokens/s",
            meaning="tokens at a load that keeps the limits of latency, a capacity", **_RATE,
        ),
        Definition(
            r"(?:server|interactive).*\.(?:samples|queries)/s", "server.queries/s", "queries/s",
            meaning="requests at a load that keeps the limit of latency, a capacity", **_RATE,
        ),
        Definition(
            r"singlestream\.latency \(ms\)", "singlestream.latency (ms)", "ms", "p90", "one at a time",
            "latency of a request", unit="s", scale=1e-3, ours="latency.p90",
        ),
        Definition(
            r"multistream\.latency \(ms\)", "multistream.latency (ms)", "ms", "p99", "eight at a time",
            "latency of a query of eight", unit="s", scale=1e-3,
        ),
        Definition(
            r"power\.watts?", "power.watts", "W", "mean", "a scenario",
            "power of the system at the wall, by SPEC's PTDaemon", unit="W", direction="lower",
        ),
        Definition(
            r"power\.(?:millijoules?|mj)(?:/stream)?", "power.millijoules", "mJ", "total / requests",
            "a stream scenario", "energy of a request at the wall", unit="J", scale=1e-3,
        ),
    ),
    "A name is `SCENARIO.UNIT` in small letters. A row's power is a result of its own, `power`.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Row:
    where: str
    row: dict[str, Any]
    scenario: str
    name: str


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield performance and power of every row; rows that differ have different names."""
    if not isinstance(data, list):
        raise FieldError("the file: expected a list of rows")
    rows = []
    for i, row in enumerate(data):
        problem = _problem(row)
        if problem:
            yield LeftOut(f"{i}.{problem}")
        else:
            rows.append(_Row(str(i), row, row["Scenario"], _name(row)))
    often = Counter(one.name for one in rows)
    for one in rows:
        name = one.name if often[one.name] == 1 else f"{one.name} (ID {one.row.get('ID') or one.where})"
        yield from _numbers(one, name)


def _problem(row: Any) -> str:
    if not isinstance(row, dict):
        return f"the row: expected an object, got {type(row).__name__}"
    for key in ("Model", "Scenario", "System", "Performance_Units"):
        if key not in row:
            return f"{key}: it is missing"
        if not isinstance(row[key], str):
            return f"{key}: {type(row[key]).__name__} is not what belongs there"
    return "" if "Performance_Result" in row else "Performance_Result: it is missing"


def _name(row: dict[str, Any]) -> str:
    """Return what sets a row apart from others of its system: accelerators, division, platform."""
    count = row.get("a#")
    counted = f"{count:g}x " if isinstance(count, int | float) and not isinstance(count, bool) else ""
    accelerator = row.get("Accelerator")
    parts = [f"{counted}{accelerator}" if isinstance(accelerator, str) and accelerator else counted.strip()]
    parts += [str(row[k]) for k in ("Division", "Category", "Platform", "Availability") if row.get(k)]
    said = ", ".join(dict.fromkeys(p for p in parts if p and p != row["System"]))
    model = f"{row['Model']} {row['Scenario']}"
    return f"{row['System']} [{said}]: {model}" if said else f"{row['System']}: {model}"


def _numbers(one: _Row, name: str) -> Iterator[ForeignResult | LeftOut]:
    facts = {key: one.row.get(key) for key in _FACTS}
    unit = one.row["Performance_Units"]
    for part, value, their_unit in (
        ("Performance", one.row["Performance_Result"], unit),
        ("Power", one.row.get("Power_Result"), one.row.get("Power_Units")),
    ):
        if value is None or not isinstance(their_unit, str):
            if value is not None:
                yield LeftOut(f"{one.where}.{part}_Units: it is missing")
            continue
        small = their_unit.strip().lower()
        is_power = part == "Power" or small.startswith(("watt", "millijoule", "mj"))
        metric = "power" if is_power else "latency" if "latency" in small else "throughput"
        key = f"power.{small}" if is_power else f"{one.scenario.lower().replace(' ', '')}.{small}"
        found = result(TOOL, key, name, metric, value, f"{one.where}.{part}_Result", facts=facts)
        if isinstance(found, ForeignResult) and TOOL.of(key) is None:
            found = found.model_copy(update={"unit": small})
        yield found
