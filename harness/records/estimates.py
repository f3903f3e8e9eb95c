"""A trial's results, from its replicas' records.

The replica, a process of its own, is the unit of replication (docs/method.md, section 3).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from statistics import fmean, median_low
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.records.metrics import METRICS
from harness.records.results import Estimate, TrialResult, Validity, last_good
from harness.records.schema import UNJUDGED, Direction, Metric, Provenance, Record
from harness.records.validity import PLANNED, REPLICAS_DISAGREE, TARGET_MISSED, WITHIN_RUN_ONLY, judge

LEVEL = 0.95
_OF_MEAN_TIME = ("iteration.mean", "throughput.*", "flops.rate", "mfu")
_WORST: tuple[Validity, ...] = ("unavailable", "valid", "flagged", "invalid")


class _Combined(NamedTuple):
    value: float
    low: float | None = None
    high: float | None = None
    flags: tuple[str, ...] = ()
    invalid: bool = False


Verdicts = Mapping[str, tuple[Validity, tuple[str, ...]]]
"""By metric id, as `judge` returns them."""


Key = tuple[str, str, str, str, bool]
"""What the records of one result share: sweep, trial, machine, code, and whether they were merged."""


def trial_results(
    records: Iterable[Record],
    *,
    level: float = LEVEL,
    judged: Callable[[Record], Verdicts] = judge,
    known: Mapping[Key, dict[str, Estimate]] = MappingProxyType({}),
) -> list[TrialResult]:
    """Derive one result for each (sweep, trial, machine, code), in the order of first appearance.

    Results of different code are kept apart, because a difference between them is a finding; so is what was
    merged, because nobody here saw it measured.

    Args:
        records: records in any order, of any number of sweeps.
        level: confidence level of the intervals.
        judged: returns a record's verdicts, for a caller that has them.
        known: estimates at the same level, for a caller that has some.
    """
    groups: dict[Key, list[Record]] = defaultdict(list)
    for record in records:
        key = (record.sweep, record.trial_id, record.machine_id, record.code_id, record.merged)
        groups[key].append(record)
    return [_trial_result(group, level, judged, known.get(key)) for key, group in groups.items()]


def _trial_result(
    group: list[Record],
    level: float,
    verdicts: Callable[[Record], Verdicts],
    known: dict[str, Estimate] | None,
) -> TrialResult:
    attempts = sorted(group, key=lambda r: (r.replica, r.attempt))
    ok = last_good(attempts)
    judged = [r for r in attempts if r.status not in UNJUDGED]
    last = ok[-1] if ok else max(judged or attempts, key=lambda r: r.started_at)
    return TrialResult(
        sweep=last.sweep,
        trial_id=last.trial_id,
        work_id=last.work_id,
        machine_id=last.machine_id,
        code_id=last.code_id,
        label=last.label,
        config=last.config,
        status=last.status,
        phase=last.phase,
        reason=last.reason,
        replicas_ok=len(ok),
        records=tuple(attempts),
        estimates=_estimates(ok, [verdicts(record) for record in ok], level) if known is None else known,
    )


class _Plan(NamedTuple):
    """What a trial's configuration says of its replicas."""

    replicas: float | None
    target: float | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> _Plan:
        on_cpu = _fact(config, "device", "kind") == "cpu"
        target = _number(config, "measure", "target_cpu" if on_cpu else "target_accelerator")
        return cls(_number(config, "measure", "replicas"), target)


def _estimates(replicas: Sequence[Record], judged: Sequence[Verdicts], level: float) -> dict[str, Estimate]:
    present = _by_id(replicas)
    plan = _Plan.of(replicas[-1].config) if replicas else None
    estimates = {}
    for metric_id in _ordered(tuple(present)):
        metrics = present[metric_id]
        verdicts = [by_id[metric_id] for by_id in judged if metric_id in by_id]
        values = [metric.value for metric in metrics if metric.value is not None]
        if values and plan is not None:
            combined = _combine(metric_id, values, replicas[-1], plan, level)
            estimates[metric_id] = _estimate(metrics[0], values, verdicts, combined, len(replicas), level)
        else:
            first = metrics[0]
            shown = (first.unit, first.direction, first.estimator, first.provenance)
            estimates[metric_id] = _without_value(metric_id, shown, tuple(verdicts))
    return estimates


def _by_id(replicas: Sequence[Record]) -> dict[str, list[Metric]]:
    """Return each metric of the replicas that have it; where one has it twice, the first."""
    ids = [metric.id for metric in replicas[0].metrics] if replicas else []
    if len(set(ids)) == len(ids) and all([m.id for m in one.metrics] == ids for one in replicas):
        return dict(zip(ids, map(list, zip(*(one.metrics for one in replicas), strict=True)), strict=True))
    present: dict[str, list[Metric]] = {}
    for record in replicas:
        own = {metric.id: metric for metric in record.metrics}
        if len(own) < len(record.metrics):
            for metric in reversed(record.metrics):
                own[metric.id] = metric
        for metric_id, metric in own.items():
            held = present.get(metric_id)
            if held is None:
                present[metric_id] = [metric]
            else:
                held.append(metric)
    return present


@lru_cache(maxsize=256)
def _ordered(present: tuple[str, ...]) -> tuple[str, ...]:
    """Return metric ids in the order of the metric table, and after them others as they came."""
    here = frozenset(present)
    return (*(i for i in METRICS if i in here), *(i for i in present if i not in METRICS))


@lru_cache(maxsize=1 << 12)
def _without_value(
    metric_id: str,
    shown: tuple[str, Direction, str, Provenance],
    verdicts: tuple[tuple[Validity, tuple[str, ...]], ...],
) -> Estimate:
    """Return the estimate of a metric that no replica has; many trials have the same ones."""
    unit, direction, estimator, provenance = shown
    definition = METRICS.get(metric_id)
    return Estimate(
        metric_id=metric_id,
        title=definition.title if definition else metric_id,
        unit=unit,
        direction=direction,
        estimator=estimator,
        provenance=provenance,
        value=None,
        low=None,
        high=None,
        level=None,
        n=0,
        validity=max((verdict[0] for verdict in verdicts), key=_WORST.index),
        reasons=tuple(dict.fromkeys(reason for verdict in verdicts for reason in verdict[1])),
    )


def _estimate(
    first: Metric,
    values: list[float],
    verdicts: Sequence[tuple[Validity, tuple[str, ...]]],
    combined: _Combined,
    replicas: int,
    level: float,
) -> Estimate:
    definition = METRICS.get(first.id)
    validity, reasons = verdicts[0]
    if any(verdict is not verdicts[0] for verdict in verdicts):
        validity = max((verdict[0] for verdict in verdicts), key=_WORST.index)
        reasons = tuple(reason for verdict in verdicts for reason in verdict[1])
    reasons += combined.flags
    if len(values) < replicas and not (definition and definition.scale == "once"):
        reasons += (f"no value in {replicas - len(values)} of {replicas} replicas",)
    if combined.invalid:
        validity = "invalid"
    elif reasons and validity != "invalid":
        validity = "flagged"
    return Estimate(
        metric_id=first.id,
        title=definition.title if definition else first.id,
        unit=first.unit,
        direction=first.direction,
        estimator=first.estimator,
        provenance=first.provenance,
        value=combined.value,
        low=combined.low,
        high=combined.high,
        level=None if combined.low is None else level,
        n=len(values),
        validity=validity,
        reasons=tuple(dict.fromkeys(reasons)) if reasons else (),
    )


def _combine(metric_id: str, values: list[float], last: Record, plan: _Plan, level: float) -> _Combined:
    definition = METRICS.get(metric_id)
    # Nothing is known of a foreign metric's distribution: its plain mean is the least claim.
    scale = definition.scale if definition else "linear"
    if scale == "once":
        return _Combined(values[0])
    if scale == "max":
        return _Combined(max(values))
    if scale == "same":
        if values.count(values[0]) == len(values) or all(
            math.isclose(value, values[0], rel_tol=1e-9) for value in values
        ):
            return _Combined(values[0])
        return _Combined(fmean(values), flags=(REPLICAS_DISAGREE,), invalid=True)
    if len(values) == 1:
        return _within_run(metric_id, values[0], last, level)
    if scale == "linear":
        return _linear(values, level)
    if min(values) <= 0:
        return _Combined(fmean(values), flags=("zero_value",), invalid=True)
    return _log(metric_id, values, plan, level)


def _within_run(metric_id: str, value: float, record: Record, level: float) -> _Combined:
    """Return one process's value, with the interval of ten batch means where it is a matter of mean time."""
    alone = _Combined(value, flags=(WITHIN_RUN_ONLY,))
    if not _matches(metric_id, _OF_MEAN_TIME):
        return alone
    bounds = _bounds_within(record.series.get("iteration_s", ()), level)
    if bounds is None:
        return alone
    low, high = bounds
    if metric_id != "iteration.mean":
        low, high = 1 / high, 1 / low  # a rate falls as the time rises
    return _Combined(value, value * low, value * high, (WITHIN_RUN_ONLY,))


@lru_cache(maxsize=8)
def _bounds_within(durations: tuple[float, ...], level: float) -> tuple[float, float] | None:
    """Return the bounds of a process's mean over that mean; every rate of a record asks for the same."""
    stats = _stats()
    try:
        found = stats.within_run_interval(durations, level)
    except stats.StatsError:
        return None
    if found.low is None or found.high is None:
        return None
    return found.low / found.estimate, found.high / found.estimate


@lru_cache(maxsize=4096)
def _matches(metric_id: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(metric_id, pattern) for pattern in patterns)


@cache
def _stats() -> Any:
    """Return the statistics, which take a moment to load: what reads an index needs none."""
    from harness import stats

    return stats


def _log(metric_id: str, values: list[float], plan: _Plan, level: float) -> _Combined:
    stats = _stats()
    # More replicas than the pilot means that the plan for more was made from the pilot's spread (Stein).
    planned = plan.replicas
    pilot = int(planned) if planned is not None and 2 <= planned < len(values) else None
    try:
        found = stats.interval(values, level, pilot)
    except stats.StatsError:
        return _beyond_numbers(values)
    flags = found.flags
    if found.low is None or found.high is None:
        return _Combined(found.estimate, flags=flags)
    half_width = math.log(found.high / found.estimate)
    if plan.target is not None and math.expm1(half_width) > plan.target and _matches(metric_id, PLANNED):
        flags += (TARGET_MISSED,)
    return _Combined(found.estimate, found.low, found.high, flags)


def _linear(values: list[float], level: float) -> _Combined:
    stats = _stats()
    try:
        found = stats.linear_interval(values, level)
    except stats.StatsError:
        return _beyond_numbers(values)
    if min(values) == max(values):
        return _Combined(values[0])  # a seeded loss repeats exactly: it has no interval and needs none
    return _Combined(found.estimate, found.low, found.high, found.flags)


def _beyond_numbers(values: list[float]) -> _Combined:
    return _Combined(median_low(values), flags=("interval_not_finite",), invalid=True)


def _fact(config: Mapping[str, Any], section: str, key: str) -> Any:
    found = config.get(section)
    return found.get(key) if isinstance(found, dict) else None


def _number(config: Mapping[str, Any], section: str, key: str) -> float | None:
    found = _fact(config, section, key)
    return found if isinstance(found, int | float) and found > 0 else None
