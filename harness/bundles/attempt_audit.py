"""One attempt against itself: its identities, times, metrics, flags and energy, each made again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from harness.bundles.finding import NOT_RECOMPUTED, Finding, Told, is_number, same
from harness.bundles.replay_audit import check_replay
from harness.identity.fingerprint import code_id, machine_id
from harness.identity.trial import recorded_trial_id, recorded_work_id
from harness.records.evidence import EVIDENCE, metered_devices
from harness.records.loop import Series
from harness.records.metrics import METRICS
from harness.records.schema import Record
from harness.records.trace import Trace
from harness.system.errors import InputError

_FUTURE = timedelta(days=1)
_FIRST_YEAR = 2020
_MAY_BE_GONE = "log.txt"
"""The log may be left out of what is handed on: it can hold what is private."""


def check_attempt(
    path: str,
    record: Record,
    digests: Mapping[str, str],
    series: Series | None,
    trace: Trace | InputError | None,
) -> tuple[list[Finding], list[str]]:
    """Return what does not follow from what one attempt kept, and what was not made again.

    Args:
        path: of its folder, below the results folder.
        record: what it says.
        digests: sha256 of the files beside the record, by name.
        series: from its `loop.parquet`; None where it has none that can be read.
        trace: from its `trace.parquet`, or why there is none in it; None where it has no such file.
    """
    found = [
        *_place(path, record),
        *_times(record),
        *_identities(record),
        *_files(record, digests),
        *_numbers(record),
        *_evidence(record),
        *_energy(record),
    ]
    if record.status == "ok" and record.seal is not None and record.seal.size is not None:
        found += check_replay(record, series, trace)
    wrong = [Finding(path, kind, said) for kind, said in found if kind != NOT_RECOMPUTED]
    return wrong, [said for kind, said in found if kind == NOT_RECOMPUTED]


def _place(path: str, record: Record) -> Told:
    name = f"r{record.replica:02d}-a{record.attempt:02d}"
    home = f"{record.sweep}/{record.machine_id}/{record.trial_id}/{name}"
    if path != home:
        yield "misplaced", f"it belongs at {home}"


def _times(record: Record) -> Told:
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
    timed = record.wall_s > 0 or record.seal is not None
    late_s = 1.0 if record.wall_s > 0 else 0.0
    if record.wall_s < 0 or (is_number(span_ns) and span_ns / 1e9 > record.wall_s + late_s and timed):
        yield "time", f"its span of {span_ns} ns does not fit in its {record.wall_s:g} s"


def _identities(record: Record) -> Told:
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


def _files(record: Record, digests: Mapping[str, str]) -> Told:
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


def _numbers(record: Record) -> Told:
    """Hold every metric to the table, and those of older records to the span and the iterations."""
    for metric in record.metrics:
        if any(one is not None for one in (metric.ci_low, metric.ci_high, metric.ci_level)):
            yield "interval", f"{metric.id}: a process has none of its own"
        known = METRICS.get(metric.id)
        if known is None or known.version != metric.semantics_version:
            continue
        if (metric.unit, metric.direction) != (known.unit, known.direction):
            yield "unit", f"{metric.id} is in {known.unit}, {known.direction} is better"
        if metric.provenance != known.provenance:
            yield "provenance", f"{metric.id} is {known.provenance}, not {metric.provenance}"
        if metric.value is None and not metric.reason:
            yield "reason", f"{metric.id} has neither a value nor a reason"
    span_ns, iterations = record.evidence.get("span_ns"), record.evidence.get("iterations")
    mean = record.metric("iteration.mean")
    timed = is_number(span_ns) and is_number(iterations) and mean is not None and mean.value is not None
    if timed and not same(mean.value * iterations, span_ns / 1e9):  # type: ignore[operator,union-attr]
        yield "metric", "iteration.mean times iterations is not the span"
    if record.status != "ok" and any(m.value is not None for m in record.metrics):
        yield "status", f"an attempt that {record.status} has metrics"


def _evidence(record: Record) -> Told:
    """Hold evidence to its table: a rule that cannot read it doubts, but cannot void."""
    for key, value in record.evidence.items():
        row = EVIDENCE.get(key)
        if row is not None and value is not None and not row.fits(value):
            yield "evidence", f"{key} is no {row.kind_name}"
    if record.evidence.get("output_reason") and record.evidence.get("output_ok") is True:
        yield "flag", "output_ok, beside the reason why it is not"


def _energy(record: Record) -> Told:
    window = record.evidence.get("energy")
    if not isinstance(window, dict):
        return
    devices = [d for d in metered_devices(record.evidence) if d.get("in_total")]
    parts, total = [d.get("joules") for d in devices], window.get("joules")
    numbers = [part for part in parts if is_number(part)]
    if numbers and len(numbers) == len(parts) and not (is_number(total) and same(sum(numbers), total)):
        yield "energy", "the devices' joules do not add up to the window's"
    flags = record.evidence.get("sensor_flags")
    told = {f for d in devices if isinstance(d.get("flags"), list) for f in d["flags"] if isinstance(f, str)}
    lacking = [flag for flag in sorted(told) if isinstance(flags, list) and flag not in flags]
    if record.evidence.get("energy_aliased") is None and lacking:
        yield "flag", f"sensor_flags lack {', '.join(lacking)[:200]}"
    shown = record.metric("energy.iteration")
    n = record.evidence.get("iterations")
    if (
        record.evidence.get("energy_aliased") is None
        and shown is not None
        and shown.value is not None
        and is_number(total)
        and is_number(n)
        and not same(shown.value * n, total)
    ):
        yield "energy", "energy.iteration times iterations is not the window's energy"
