"""optimum-benchmark's `benchmark_report.json` (or `benchmark.json`, which holds it as `report`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from harness.exporters.importers import NUMBER, FieldError, take
from harness.records.foreign import ForeignResult

_JOULES_PER_KWH: Final = 3.6e6
_OURS: dict[str, str | None] = {"tokens/s": "throughput.tokens", "samples/s": "throughput.samples"}


def results(data: Any) -> Iterator[ForeignResult]:
    """Yield latency, throughput, energy and efficiency of every phase that has them."""
    facts = {}
    if isinstance(data, dict) and "report" in data:
        facts = {"config": data.get("config")}
        data = data["report"]
    if not isinstance(data, dict):
        raise FieldError("the file: expected an object of phases")
    for phase, parts in data.items():
        if not isinstance(parts, dict):
            raise FieldError(f"{phase}: expected an object")
        latency, throughput = parts.get("latency"), parts.get("throughput")
        if latency is not None:
            where = f"{phase}.latency"
            n = latency.get("count") if isinstance(latency, dict) else None
            mean, unit = take(latency, "mean", NUMBER, where), take(latency, "unit", str, where)
            n = n if isinstance(n, int) else None
            yield _one(phase, "latency", mean, unit, "lower", "iteration.mean", facts, n)
        if throughput is not None:
            where = f"{phase}.throughput"
            unit = take(throughput, "unit", str, where)
            value = take(throughput, "value", NUMBER, where)
            yield _one(phase, "throughput", value, unit, "higher", _OURS.get(unit), facts)
        if (energy := parts.get("energy")) is not None:
            where = f"{phase}.energy"
            total, unit = take(energy, "total", NUMBER, where), take(energy, "unit", str, where)
            if unit == "kWh":
                total, unit = total * _JOULES_PER_KWH, "J"
            yield _one(phase, "energy", total, unit, "lower", None, facts)


def _one(
    phase: str,
    metric: str,
    value: float,
    unit: str,
    direction: Literal["higher", "lower"],
    ours: str | None,
    facts: dict[str, Any],
    n: int | None = None,
) -> ForeignResult:
    return ForeignResult(
        name=phase,
        metric=metric,
        value=value,
        unit=unit,
        direction=direction,
        comparable_to=ours,
        n=n,
        facts=facts,
    )
