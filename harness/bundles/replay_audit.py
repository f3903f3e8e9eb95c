"""The numbers and flags of one good attempt against those made again from its durations, marks and trace."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from harness import __version__
from harness.bundles.finding import NOT_RECOMPUTED, Told, difference, same
from harness.bundles.loop_audit import check_loop
from harness.config.models import Config
from harness.records.errors import first_fault
from harness.records.loop import LOOP, Series
from harness.records.schema import Metric, Record
from harness.records.trace import TooLongError, Trace
from harness.system.errors import InputError
from harness.trial import endpoint, loadgen
from harness.trial.audit import VERSION, Replay, config_of, replayed
from harness.trial.energy_audit import MOST_ROWS, EnergyReplay, energy_replayed
from harness.trial.evidence import all_zero
from harness.trial.passes.convergence import time_to_loss

OF_PASSES = (
    *("energy.prefill", "energy.decode", "energy.forward", "energy.backward", "iteration.gated"),
    *("iteration.cold", "quality.*", "staleness.*", "throughput.updates", "time.to_loss"),
)
"""Metrics of passes apart from the span, whose raw numbers no record keeps."""
_OF_ENGINE = ("memory.weights", "memory.kv_cache", "model.parameters")
"""What an engine that was asked from without knows itself."""
OTHER_RULES = "it was kept by the rules of another version"


def check_replay(record: Record, series: Series | None, trace: Trace | InputError | None) -> Told:
    """Yield what does not follow from the numbers that a good attempt kept.

    Args:
        record: sealed.
        series: from its `loop.parquet`; None where it has none that can be read.
        trace: from its `trace.parquet`, or why there is none in it; None where it has no such file.
    """
    kept = record.evidence.get("audit")
    if not isinstance(kept, dict) or series is None:
        yield "not auditable", f"it keeps no {'audit' if series is not None else LOOP} that can be read"
        return
    if kept.get("version") != VERSION:
        yield NOT_RECOMPUTED, OTHER_RULES
        return
    try:
        config = config_of(record.config)
    except ValidationError as error:
        if record.code.get("joulemark") == __version__:
            yield "configuration", first_fault(error)
        else:
            yield NOT_RECOMPUTED, "its configuration is another version's"
        return
    try:
        yield from _made_again(record, kept, series, trace, config)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
        yield "raw times", said[:300]


def _made_again(
    record: Record, kept: Mapping[str, Any], series: Series, trace: Trace | InputError | None, config: Config
) -> Told:
    for name, again in (("endpoint", endpoint.replayed), ("loadgen", loadgen.replayed)):
        if isinstance(kept.get(name), dict):
            yield from _metrics(record, again(kept[name], series), (*OF_PASSES, *_OF_ENGINE))
            yield from _metered(record, kept[name]["energy"])
            return
    made = replayed(kept, series, config)
    more = _learned(record, made, config)
    yield from _metrics(record, [*made.metrics, *more])
    yield from check_loop(record, made)
    yield from _flags(record, made)
    yield from _settings(kept, config)
    yield from _energy(record, kept, made, trace)


def _learned(record: Record, made: Replay, config: Config) -> list[Metric]:
    """Return the time to a loss, where the losses are the workload's own and there is one."""
    shown, target = record.metric("time.to_loss"), config.measure.target_loss
    if shown is None or shown.value is None or target is None or not made.losses:
        return []
    m = made.slowest
    steps, period_s = m.first_index + m.iterations, m.period_ns / 1e9
    return [time_to_loss(made.losses, steps=steps, target=target, period_s=period_s)]


def _metered(record: Record, used: Mapping[str, Any]) -> Told:
    """Hold what was metered beside a log of requests to its window, of which no trace is kept."""
    shown = record.evidence.get("energy")
    if not isinstance(shown, dict):
        return
    yield NOT_RECOMPUTED, "the energy beside a log of requests, of which no trace is kept"
    for key in ("joules", "mean_w", "peak_w"):
        if shown.get(key) != used[key]:
            yield "energy", f"its metrics' {key} is not the window's"


def _metrics(record: Record, made: list[Metric], others: tuple[str, ...] = OF_PASSES) -> Told:
    shown = {metric.id: metric for metric in reversed(record.metrics)}
    if len(shown) < len(record.metrics):
        yield "metric", "one has two values"
    for own in made:
        metric = shown.pop(own.id, None)
        if metric is None:
            yield "metric missing", own.id
        elif metric.semantics_version != own.semantics_version:
            yield NOT_RECOMPUTED, "a metric is of another definition"
        elif not _equal(metric.value, own.value):
            yield "metric", f"{own.id} is {metric.value}, and {own.value} follows from what was kept"
        elif (metric.n, metric.reason) != (own.n, own.reason):
            yield "metric", f"{own.id}: its n or its reason is not what follows"
    for metric_id, metric in shown.items():
        if not any(fnmatchcase(metric_id, pattern) for pattern in others):
            yield "metric", f"{metric_id[:80]} follows from nothing that was kept"
        elif metric.value is not None:
            yield NOT_RECOMPUTED, f"{metric_id} of a pass apart from the span or of an engine's own"


def _flags(record: Record, made: Replay) -> Told:
    evidence, told, alone = record.evidence, made.timing, len(made.ranks) == 1
    flags, steady = evidence.get("timing_flags"), evidence.get("steady")
    if not isinstance(flags, list) or not isinstance(steady, bool):
        yield "flag", "the flags of timing were taken away"
        return
    wanted = {name for name, raised in told["flags"].items() if raised}
    if evidence.get("clock") != "host":
        wanted.discard("buffer_full")
    if alone:  # else any rank may have raised them
        if set(map(str, flags)) != wanted:
            yield "flag", f"timing_flags are {_words(flags)}, and {_words(wanted)} follow from the durations"
        if evidence.get("drift") != told["drift"]:
            yield "flag", "drift is not what the durations show"
        if steady != told["steady"]:
            yield "flag", "steady is not what the warm-up shows"
    elif not wanted - {"not_steady"} <= set(map(str, flags)):
        yield "flag", f"timing_flags lack {_words(wanted - set(map(str, flags)))}"
    if steady == ("not_steady" in flags):
        yield "flag", "steady and not_steady contradict each other"
    if evidence.get("loss_finite") != (all(map(math.isfinite, made.losses)) if made.losses else None):
        yield "flag", "loss_finite is not what the losses show"
    if not isinstance(evidence.get("output_ok"), bool):
        yield "flag", "output_ok was taken away"
    for key, value in made.served.items():
        if difference(evidence.get(key), value) is not None:
            yield "flag", f"{key} is not what the log of requests shows"
    yield from _series(record, made.series)


def _series(record: Record, made: Mapping[str, list[float]]) -> Told:
    for name, values in made.items():
        if difference(list(record.series.get(name, ())), values) is not None:
            yield "series", f"{name} is not what was measured"


def _settings(kept: Mapping[str, Any], config: Config) -> Told:
    """Hold what the metrics were made with to the configuration."""
    generates = config.workload.mode == "generate"
    if (kept["output_tokens"] is not None) != generates:
        yield "units", "an iteration generates tokens, or not, against its mode"
    if config.device.threads == 1 and not kept["single_threaded"]:
        yield "flag", "it ran on one thread, and says otherwise"


def _energy(record: Record, kept: Mapping[str, Any], timed: Replay, trace: Trace | InputError | None) -> Told:
    if isinstance(trace, TooLongError):
        yield NOT_RECOMPUTED, f"the energy of a trace of over {MOST_ROWS} rows"
        return
    try:
        if isinstance(trace, InputError):
            raise trace
        made = energy_replayed(record.evidence, kept["window"], trace or {}, timed)
    except (KeyError, ValueError) as error:
        yield "energy", str(error) if isinstance(error, ValueError) else "what was read of it was taken away"
        return
    if kept["window"].get("unordered"):
        yield NOT_RECOMPUTED, "what a sensor says whose own times went back"
        if kept["energy"]["joules"] not in (None, made.use.joules):
            yield "energy", "its metrics' energy is not what its readings and its trace give"
        return
    yield from _energy_said(record, kept, timed, made)


def _energy_said(record: Record, kept: Mapping[str, Any], timed: Replay, made: EnergyReplay) -> Told:
    where = difference(kept["energy"], {f.name: getattr(made.use, f.name) for f in fields(made.use)})
    if where is not None:
        yield "energy", f"its metrics' energy{where} is not what its readings and its trace give"
    for key, value in made.evidence.items():
        where = difference(record.evidence.get(key), value)
        if where is not None:
            yield "energy", f"{key}{where} is not what its readings and its trace give"
    yield from _series(record, made.series)
    zero = all_zero(timed.slowest, timed.losses, made.zero)["all_zero"]
    if record.evidence.get("all_zero") != zero:
        yield "flag", f"all_zero is not {_words(zero)}"


def _words(names: Any) -> str:
    return ", ".join(sorted(map(str, names)))[:200] or "none"


def _equal(a: float | None, b: float | None) -> bool:
    return a == b if a is None or b is None else same(a, b)
