"""One attempt against itself: its identities, times, metrics, flags and energy, each made again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from harness.identity.fingerprint import code_id, machine_id
from harness.identity.trial import recorded_trial_id, recorded_work_id
from harness.records.loop import LOOP, Series
from harness.records.metrics import METRICS
from harness.records.schema import Metric, Record
from harness.trial import endpoint, loadgen
from harness.trial.audit import VERSION, replayed

_FUTURE = timedelta(days=1)
_FIRST_YEAR = 2020
_RELATIVE = 1e-9
_MAY_BE_GONE = "log.txt"
"""The log may be left out of what is handed on: it can hold what is private."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One inconsistency."""

    path: str
    kind: str
    """Two or three words, the same for every inconsistency of a kind."""
    said: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: {self.said}"


def check_attempt(
    path: str, record: Record, digests: Mapping[str, str], series: Series | None
) -> list[Finding]:
    """Return everything about one attempt that does not follow from what it kept.

    Args:
        path: of its folder, below the results folder.
        record: what it says.
        digests: sha256 of the files beside the record, by name.
        series: from its `loop.parquet`; None where it has none that can be read.
    """
    found = [
        *_place(path, record),
        *_times(record),
        *_identities(record),
        *_files(record, digests),
        *_numbers(record),
        *_energy(record),
    ]
    if record.status == "ok":
        found += list(_made_again(record, series))
    return [Finding(path, kind, said) for kind, said in found]


_Found = Iterator[tuple[str, str]]


def _place(path: str, record: Record) -> _Found:
    name = f"r{record.replica:02d}-a{record.attempt:02d}"
    home = f"{record.sweep}/{record.machine_id}/{record.trial_id}/{name}"
    if path != home:
        yield "misplaced", f"it belongs at {home}"


def _times(record: Record) -> _Found:
    try:
        started = datetime.fromisoformat(record.started_at)
        started = started if started.tzinfo else started.replace(tzinfo=UTC)
    except ValueError:
        yield "time", "started_at is no time"
        return
    if started > datetime.now(UTC) + _FUTURE:
        yield "time", f"it was begun in the future, {record.started_at[:40]}"
    if started.year < _FIRST_YEAR:
        yield "time", f"it was begun before there was a Joulemark, {record.started_at[:40]}"
    span_ns = record.evidence.get("span_ns")
    if record.wall_s < 0 or (_is_number(span_ns) and span_ns / 1e9 > record.wall_s + 1 and record.wall_s > 0):
        yield "time", f"its span of {span_ns} ns does not fit in its {record.wall_s:g} s"


def _identities(record: Record) -> _Found:
    if machine_id(record.machine) != record.machine_id and len(record.machine_id) == 64:
        yield "machine_id", "it is not the digest of the machine's facts"
    if code_id(record.code) != record.code_id and len(record.code_id) == 64:
        yield "code_id", "it is not the digest of the code's facts"
    seal = record.seal
    if seal is None or seal.size is None:
        return
    try:
        work = recorded_work_id(record.config, seal.size, seal.data)
        trial = recorded_trial_id(record.work_id, record.config)
    except (KeyError, TypeError, AttributeError, ValueError):
        yield "work_id", "its configuration is not whole"
        return
    if work != record.work_id:
        yield "work_id", "it is not the digest of the configuration and the sizes"
    if trial != record.trial_id:
        yield "trial_id", "it is not the digest of the work and how it was measured"


def _files(record: Record, digests: Mapping[str, str]) -> _Found:
    if record.seal is None:
        if record.schema_version > 1 and "audit" in record.evidence:
            yield "seal", "it was taken off"
        return
    for name, digest in record.seal.files.items():
        if name not in digests:
            if name != _MAY_BE_GONE:
                yield "file missing", name
        elif digests[name] != digest:
            yield "file changed", f"{name} is not the one that was sealed"
    for name in digests.keys() - record.seal.files.keys():
        yield "file added", name[:80]


def _numbers(record: Record) -> _Found:
    """Hold every metric to the table, and those of older records to the span and the iterations."""
    for metric in record.metrics:
        if metric.ci_low is not None or metric.ci_high is not None:
            yield "interval", f"{metric.id}: a process has none of its own"
        known = METRICS.get(metric.id)
        if known is None or known.version != metric.semantics_version:
            continue
        if (metric.unit, metric.direction) != (known.unit, known.direction):
            yield "unit", f"{metric.id} is in {known.unit}, {known.direction} is better"
        if metric.value is None and not metric.reason:
            yield "reason", f"{metric.id} has neither a value nor a reason"
    span_ns, iterations = record.evidence.get("span_ns"), record.evidence.get("iterations")
    mean = record.metric("iteration.mean")
    timed = _is_number(span_ns) and _is_number(iterations) and mean is not None and mean.value is not None
    if timed and not _same(mean.value * iterations, span_ns / 1e9):  # type: ignore[operator,union-attr]
        yield "metric", "iteration.mean times iterations is not the span"
    if record.status != "ok" and any(m.value is not None for m in record.metrics):
        yield "status", f"an attempt that {record.status} has metrics"
    if record.evidence.get("output_reason") and record.evidence.get("output_ok") is True:
        yield "flag", "output_ok, beside the reason why it is not"


def _energy(record: Record) -> _Found:
    window = record.evidence.get("energy")
    if not isinstance(window, dict):
        return
    devices = [d for d in window.get("devices") or () if isinstance(d, dict) and d.get("in_total")]
    parts, total = [d.get("joules") for d in devices], window.get("joules")
    numbers = [part for part in parts if _is_number(part)]
    if numbers and len(numbers) == len(parts) and not (_is_number(total) and _same(sum(numbers), total)):
        yield "energy", "the devices' joules do not add up to the window's"
    flags = record.evidence.get("sensor_flags")
    told = {f for d in devices for f in d.get("flags") or () if isinstance(f, str)}
    if record.evidence.get("energy_aliased") is None and isinstance(flags, list) and not told <= set(flags):
        yield "flag", f"sensor_flags lack {', '.join(sorted(told - set(flags)))[:200]}"
    shown = record.metric("energy.iteration")
    n = record.evidence.get("iterations")
    if (
        record.evidence.get("energy_aliased") is None
        and shown is not None
        and shown.value is not None
        and _is_number(total)
        and _is_number(n)
        and not _same(shown.value * n, total)
    ):
        yield "energy", "energy.iteration times iterations is not the window's energy"


def _made_again(record: Record, series: Series | None) -> _Found:
    if record.seal is None or record.seal.size is None:
        return
    kept = record.evidence.get("audit")
    if not isinstance(kept, dict) or series is None:
        yield "not auditable", f"it keeps no {'audit' if series is not None else LOOP} that can be read"
        return
    if kept.get("version") != VERSION:
        return  # the rules of another version are not ours to apply
    try:
        if isinstance(kept.get("endpoint"), dict):
            yield from _compared(record, endpoint.replayed(kept["endpoint"], series))
            return
        if isinstance(kept.get("loadgen"), dict):
            yield from _compared(record, loadgen.replayed(kept["loadgen"], series))
            return
        metrics, told = replayed(kept, series)
    except ValueError as error:
        yield "raw times", str(error)
        return
    yield from _compared(record, metrics)
    yield from _flags(record, told)


def _compared(record: Record, metrics: list[Metric]) -> _Found:
    for made in metrics:
        shown = record.metric(made.id)
        if shown is None:
            yield "metric missing", made.id
        elif shown.semantics_version == made.semantics_version:
            if not _equal(shown.value, made.value):
                yield "metric", f"{made.id} is {shown.value}, and {made.value} follows from what was kept"
            elif (shown.n, shown.reason) != (made.n, made.reason):
                yield "metric", f"{made.id}: its n or its reason is not what follows"


def _flags(record: Record, told: Mapping[str, Any]) -> _Found:
    evidence = record.evidence
    for key in ("iterations", "span_ns", "host_ns"):
        if evidence.get(key) != told[key] and "ranks" not in evidence:
            yield "raw times", f"{key} is {evidence.get(key)}, and {told[key]} was kept"
    flags = evidence.get("timing_flags")
    if not isinstance(flags, list) or not isinstance(evidence.get("steady"), bool):
        yield "flag", "the flags of timing were taken away"
        return
    if "ranks" not in evidence:  # else any rank may have raised them
        for key in ("drift", "drift_unknown", "grouped"):
            if told[key] != (key in flags):
                yield "flag", f"{key} is {'missing' if told[key] else 'told'}, against the durations"
        if told["drift"] != evidence.get("drift"):
            yield "flag", "drift is not what the durations show"
        if told["steady"] is not None and told["steady"] != evidence["steady"]:
            yield "flag", "steady is not what the warm-up shows"
    if evidence["steady"] == ("not_steady" in flags):
        yield "flag", "steady and not_steady contradict each other"
    if evidence.get("clock") == "host" and told["durations_ns"] != told["host_ns"]:
        yield "raw times", "the durations do not add up to the loop's time"


def _equal(a: float | None, b: float | None) -> bool:
    return a == b if a is None or b is None else _same(a, b)


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_RELATIVE, abs_tol=1e-300)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
