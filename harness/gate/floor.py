"""How much a runner scatters when nothing changes: from A/A runs, for the policy's floor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from harness.gate.policy import Policy, matches
from harness.records.errors import faults_of
from harness.records.estimates import trial_results
from harness.records.results import own_first
from harness.records.store import Store, read_bounded
from harness.stats import StatsError, compare

_SIDES = ("-base", "-head")
_MOST_BYTES = 1 << 20
MeasuredFloors = dict[tuple[str, str, str], float]
"""By trial, metric and machine."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What A/A sessions of one trial and metric show."""

    trial: str
    metric: str
    machine_id: str
    sessions: int
    floor: float | None
    """Standard deviation of ln value from session to session; None from fewer than two."""
    false_positives: int
    """Sessions whose pairs claimed a difference."""


@dataclass(frozen=True, slots=True)
class Floors:
    """All series."""

    floors: tuple[Floor, ...]

    @property
    def sessions(self) -> int:
        """A/A sessions, over all series."""
        return sum(f.sessions for f in self.floors)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of sessions that claimed a difference where there was none."""
        return sum(f.false_positives for f in self.floors) / self.sessions if self.sessions else None

    def plain(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        rate = self.false_positive_rate
        return {"floors": [asdict(f) for f in self.floors], "false_positive_rate": rate}

    def lines(self) -> list[str]:
        """Return a line a series, and the rate."""
        lines = [
            f"{f.trial} {f.metric}: "
            + ("one session tells no floor" if f.floor is None else f"floor {f.floor:.4f}")
            + f", {f.false_positives} of {f.sessions} A/A sessions claimed a difference"
            for f in self.floors
        ]
        rate = self.false_positive_rate
        return [*lines, "no A/A session" if rate is None else f"false positives: {rate:.1%}"]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    trial: str
    metric: str
    machine_id: str
    floor: Annotated[float, Field(ge=0, lt=1)] | None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    floors: tuple[_Read, ...]


def read_floors(path: Path) -> MeasuredFloors:
    """Read what `joulemark gate --noise-floor … --json` printed; a series of one session has no floor.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file; one line names the file and the field.
    """
    with faults_of(path):
        read = _File.model_validate_json(read_bounded(path, _MOST_BYTES))
    return {(f.trial, f.metric, f.machine_id): f.floor for f in read.floors if f.floor}


def noise_floor(store: Store, pattern: str, policy: Policy) -> Floors:
    """Read A/A sessions, which `joulemark ab '' ''` leaves as `NAME-base` and `NAME-head`.

    Args:
        store: the results.
        pattern: of NAME.
        policy: whose metrics are wanted.
    """
    found: dict[tuple[str, str, str], list[tuple[float, bool]]] = {}
    for sweep in store.sweeps():
        name = sweep.removesuffix(_SIDES[0])
        if name == sweep or not matches(name, pattern):
            continue
        sides = [own_first(trial_results(store.records(name + side)[0]))[0] for side in _SIDES]
        heads = {(r.work_id, r.machine_id): r for r in sides[1]}
        for base in sides[0]:
            head = heads.get((base.work_id, base.machine_id))
            for metric_id in dict.fromkeys(rule.metric for rule in policy.metrics):
                rule = policy.rule(metric_id, base.label)
                if head is None or rule is None:
                    continue
                values = [_values(r.records, metric_id) for r in (base, head)]
                together = sorted(set(values[0]) & set(values[1]))
                before, after = ([v[i] for i in together] for v in values)
                try:
                    label = compare(before, after, rule.delta or policy.delta).label
                except StatsError:
                    continue
                level = float(np.mean(np.log(before + after)))
                key = (base.label, metric_id, base.machine_id)
                found.setdefault(key, []).append((level, label in {"better", "worse"}))
    return Floors(tuple(_floor(key, sessions) for key, sessions in found.items()))


def _values(records: Any, metric_id: str) -> dict[int, float]:
    return {
        r.replica: m.value
        for r in records
        if r.status == "ok" and (m := r.metric(metric_id)) is not None and m.value is not None
    }


def _floor(key: tuple[str, str, str], sessions: list[tuple[float, bool]]) -> Floor:
    levels = [level for level, _ in sessions]
    spread = float(np.std(levels, ddof=1)) if len(levels) > 1 else None
    return Floor(*key, len(sessions), spread, sum(claimed for _, claimed in sessions))
