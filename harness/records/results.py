"""A trial's results, derived from the records of its replicas each time they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.records.schema import Direction, Facts, Provenance, Record, Status

Validity = Literal["valid", "flagged", "invalid", "unavailable"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of one trial over its replicas, with its interval and its validity."""

    metric_id: str
    title: str
    unit: str
    direction: Direction
    estimator: str
    provenance: Provenance
    value: float | None
    low: float | None
    high: float | None
    level: float | None
    n: int
    """Replicas behind the value."""
    validity: Validity
    reasons: tuple[str, ...] = ()
    """Ids of the rules that flagged or voided it, or why there is no value; each readable by itself."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What is known of one configuration on one machine with one code."""

    sweep: str
    trial_id: str
    work_id: str
    machine_id: str
    code_id: str
    label: str
    config: Facts
    status: Status
    """`ok` when at least one replica is; else the last attempt's status."""
    phase: str
    reason: str | None
    replicas_ok: int
    records: tuple[Record, ...]
    """Every attempt, by replica and attempt."""
    estimates: dict[str, Estimate]
    """By metric id, in the order of the metric table; empty when no replica is ok."""

    def values(self, metric_id: str) -> tuple[float, ...]:
        """Return the metric's value in every good replica that has one, the last good attempt at each."""
        good = {record.replica: record for record in self.records if record.status == "ok"}
        metrics = (record.metric(metric_id) for record in good.values())
        return tuple(m.value for m in metrics if m is not None and m.value is not None)
