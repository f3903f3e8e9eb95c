"""The tables of results that MLPerf publishes with each round, `summary_results.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import NUMBER, FieldError, take
from harness.records.foreign import ForeignResult

_FACTS = (
    *("ID", "Submitter", "Availability", "Category", "Suite", "System", "Platform", "Accuracy", "Nodes"),
    *("Processor", "host_processors_per_node", "host_processor_core_count", "Accelerator", "a#"),
    *("Software", "operating_system", "version", "has_power", "weight_data_types", "Details"),
)
_OURS = {
    "tokens/s": "throughput.tokens",
    "samples/s": "throughput.samples",
    "queries/s": "throughput.requests",
}


def results(data: Any) -> Iterator[ForeignResult]:
    """Yield the result of every row; a latency in milliseconds becomes seconds."""
    if not isinstance(data, list):
        raise FieldError("the file: expected a list of rows")
    for i, row in enumerate(data):
        where = str(i)
        model, scenario = take(row, "Model", str, where), take(row, "Scenario", str, where)
        value, unit = (
            take(row, "Performance_Result", NUMBER, where),
            take(row, "Performance_Units", str, where),
        )
        is_latency = "latency" in unit.lower()
        if is_latency:
            value, unit = (value / 1e3, "s") if "ms" in unit.lower() else (value, unit)
        else:
            unit = unit.lower()
        yield ForeignResult(
            name=f"{take(row, 'System', str, where)}: {model} {scenario}",
            metric="latency" if is_latency else "throughput",
            value=value,
            unit=unit,
            direction="lower" if is_latency else "higher",
            comparable_to="latency.p90" if is_latency else _OURS.get(unit),
            facts={key: row.get(key) for key in _FACTS},
        )
