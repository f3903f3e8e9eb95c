"""A trial's results, from its replicas' records.

The replica, a process of its own, is the unit of replication (docs/method.md, section 3).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from statistics import fmean, median_low
from typing import Any, NamedTuple

from harness.records.metrics import METRICS
from harness.records.results import Estimate, TrialResult, Validity, last_good
from harness.records.schema import UNJUDGED, Metric, Record
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


def trial_results(records: Iterable[Record], *, level: float = LEVEL) -> list[TrialResult]:
    """Derive one result for each (sweep, trial, machine, code), in the order of first appearance.

    Results of different code are kept apart, because a difference between them is a finding; so is what was
    merged, because nobody here saw it measured.

    Args:
        records: records in any order, of any number of sweeps.
        level: confidence level of the intervals.
    """
    groups: dict[tuple[str, str, str, str, bool], list[Record]] = defaultdict(list)
    for record in records:
        key = (record.sweep, record.trial_id, record.machine_id, record.code_id, record.merged)
        groups[key].append(record)
    return [_trial_result(group, level) for group in groups.values()]


def _trial_result(group: list[Record], level: float) -> TrialResult:
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
        estimates=_estimates(ok, level),
    )


def _estimates(replicas: Sequence[Record], level: float) -> dict[str, Estimate]:
    judged = [judge(record) for record in replicas]
    present = dict.fromkeys(metric.id for record in replicas for metric in record.metrics)
    ordered = [i for i in METRICS if i in present] + [i for i in present if i not in METRICS]
    estimates = {}
    for metric_id in ordered:
        metrics = [record.metric(metric_id) for record in replicas]
        verdicts = [verdict.get(metric_id) for verdict in judged]
        estimates[metric_id] = _estimate(metric_id, metrics, verdicts, replicas[-1], level)
    return estimates


def _estimate(
    metric_id: str,
    metrics: Sequence[Metric | None],
    verdicts: Sequence[tuple[Validity, tuple[str, ...]] | None],
    last: Record,
    level: float,
) -> Estimate:
    known = [metric for metric in metrics if metric is not None]
    values = [metric.value for metric in known if metric.value is not None]
    reasons = [reason for verdict in verdicts if verdict for reason in verdict[1]]
    validity = max((v[0] for v in verdicts if v), key=_WORST.index)
    combined: _Combined | None = None
    if values:
        combined = _combine(metric_id, values, last, level)
        reasons += combined.flags
        if len(values) < len(metrics) and not _told_once(metric_id):
            reasons.append(f"no value in {len(metrics) - len(values)} of {len(metrics)} replicas")
        if combined.invalid:
            validity = "invalid"
        elif reasons and validity != "invalid":
            validity = "flagged"
    first = known[0]
    definition = METRICS.get(metric_id)
    return Estimate(
        metric_id=metric_id,
        title=definition.title if definition else metric_id,
        unit=first.unit,
        direction=first.direction,
        estimator=first.estimator,
        provenance=first.provenance,
        value=combined.value if combined else None,
        low=combined.low if combined else None,
        high=combined.high if combined else None,
        level=level if combined and combined.low is not None else None,
        n=len(values),
        validity=validity,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _told_once(metric_id: str) -> bool:
    return metric_id in METRICS and METRICS[metric_id].scale == "once"


def _combine(metric_id: str, values: list[float], last: Record, level: float) -> _Combined:
    definition = METRICS.get(metric_id)
    # Nothing is known of a foreign metric's distribution: its plain mean is the least claim.
    scale = definition.scale if definition else "linear"
    if scale == "once":
        return _Combined(values[0])
    if scale == "max":
        return _Combined(max(values))
    if scale == "same":
        if all(math.isclose(value, values[0], rel_tol=1e-9) for value in values):
            return _Combined(values[0])
        return _Combined(fmean(values), flags=(REPLICAS_DISAGREE,), invalid=True)
    if len(values) == 1:
        return _within_run(metric_id, values[0], last, level)
    if scale == "linear":
        return _linear(values, level)
    if min(values) <= 0:
        return _Combined(fmean(values), flags=("zero_value",), invalid=True)
    return _log(metric_id, values, last.config, level)


def _within_run(metric_id: str, value: float, record: Record, level: float) -> _Combined:
    """Return one process's value, with the interval of ten batch means where it is a matter of mean time."""
    from harness.stats import StatsError, within_run_interval

    alone = _Combined(value, flags=(WITHIN_RUN_ONLY,))
    if not any(fnmatchcase(metric_id, pattern) for pattern in _OF_MEAN_TIME):
        return alone
    try:
        found = within_run_interval(record.series.get("iteration_s", ()), level)
    except StatsError:
        return alone
    if found.low is None or found.high is None:
        return alone
    low, high = found.low / found.estimate, found.high / found.estimate
    if metric_id != "iteration.mean":
        low, high = 1 / high, 1 / low  # a rate falls as the time rises
    return _Combined(value, value * low, value * high, (WITHIN_RUN_ONLY,))


def _log(metric_id: str, values: list[float], config: Mapping[str, Any], level: float) -> _Combined:
    from harness.stats import StatsError, interval

    planned = _number(config, "measure", "replicas")
    # More replicas than the pilot means that the plan for more was made from the pilot's spread (Stein).
    pilot = int(planned) if planned is not None and 2 <= planned < len(values) else None
    try:
        found = interval(values, level, pilot)
    except StatsError:
        return _beyond_numbers(values)
    flags = found.flags
    if found.low is None or found.high is None:
        return _Combined(found.estimate, flags=flags)
    on_cpu = _fact(config, "device", "kind") == "cpu"
    target = _number(config, "measure", "target_cpu" if on_cpu else "target_accelerator")
    half_width = math.log(found.high / found.estimate)
    planned_for = any(fnmatchcase(metric_id, pattern) for pattern in PLANNED)
    if target is not None and planned_for and math.expm1(half_width) > target:
        flags += (TARGET_MISSED,)
    return _Combined(found.estimate, found.low, found.high, flags)


def _linear(values: list[float], level: float) -> _Combined:
    from harness.stats import StatsError, linear_interval

    try:
        found = linear_interval(values, level)
    except StatsError:
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
