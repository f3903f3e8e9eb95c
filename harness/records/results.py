"""A trial's results, derived from the records of its replicas each time they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from harness.records.schema import Direction, Facts, Provenance, Record, Status

CONFIG_COLUMNS = {
    "workload": ("workload", "name"),
    "mode": ("workload", "mode"),
    "size": ("workload", "size"),
    "compress": ("compress", "name"),
    "parallel": ("parallel", "name"),
    "precision": ("precision", "name"),
    "optimize": ("optimize", "name"),
    "device": ("device", "kind"),
}
"""What a flat table shows of a configuration: by column, the section and key."""

Validity = Literal["valid", "flagged", "invalid", "unavailable"]


class Estimate(NamedTuple):
    """One metric of one trial over its replicas, with its interval and its validity.

    An index of many trials restores hundreds of thousands: a tuple is made much faster than a dataclass.
    """

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


def last_good(attempts: Iterable[Record]) -> list[Record]:
    """Return each replica's last good record, from attempts in their order."""
    return list({record.replica: record for record in attempts if record.status == "ok"}.values())


def own_first(results: Sequence[TrialResult]) -> tuple[list[TrialResult], list[TrialResult]]:
    """Return the results that count, and those that were merged beside what was measured here.

    Of a trial on a machine, what this user measured there counts, whatever code or date others name.
    """
    measured = {(r.sweep, r.trial_id, r.machine_id) for r in results if not r.merged}
    kept: list[TrialResult] = []
    beside: list[TrialResult] = []
    for r in results:
        (beside if r.merged and (r.sweep, r.trial_id, r.machine_id) in measured else kept).append(r)
    return kept, beside


def ran(result: TrialResult, places: Mapping[str, int]) -> tuple[int, str]:
    """Return when a result was measured last, to compare with others of its sweep on its machine.

    By its place in the chain; among results that have none by date, of those that are not in the future: a
    clock that was wrong, or a stranger, must not be the newest for ever.

    Args:
        result: of some code.
        places: from `harness.records.chain.positions`.
    """
    latest = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    place = max((places.get(r.sha256, -1) for r in result.records), default=-1)
    return place, max((r.started_at for r in result.records if r.started_at <= latest), default="")


def setting(config: Facts, section: str, key: str) -> str | None:
    """Return one setting of a configuration, None where it has none or no text."""
    group = config.get(section)
    value = group.get(key) if isinstance(group, dict) else None
    return value if isinstance(value, str) else None


def config_columns(config: Facts) -> dict[str, str | None]:
    """Return the cells of `CONFIG_COLUMNS` for a configuration."""
    return {column: setting(config, *where) for column, where in CONFIG_COLUMNS.items()}


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

    @property
    def merged(self) -> bool:
        """Whether this user did not measure it on this machine; records of both are never in one result."""
        return self.records[0].merged

    def replicas(self) -> list[Record]:
        """Return each good replica's record; one measured twice counts once, by its last good attempt."""
        return last_good(self.records)

    def values(self, metric_id: str) -> tuple[float, ...]:
        """Return the metric's value in every good replica that has one."""
        values = (record.value(metric_id) for record in self.replicas())
        return tuple(value for value in values if value is not None)
