"""Validity: rules as data, judged over a record's evidence each time it is read (docs/method.md, section 5).

A rule reads one key of `Record.evidence`; a key that is absent or None says nothing. The rules are not stored
with the records, so that a better rule also judges old records; `RULES_VERSION` says which set judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from harness.records.evidence import EVIDENCE
from harness.records.metrics import METRICS
from harness.records.results import Validity
from harness.records.rules import (
    Predicate,
    Rule,
    above,
    below,
    client_bound,
    coarse,
    contended,
    cpus_changed,
    disagrees,
    few_requests,
    has_any,
    has_other,
    is_false,
    is_true,
    left_alone,
    left_in_part,
    mostly_unanswered,
    names_metric,
    not_valid,
    over,
    unanswered,
    unsteady_soak,
)
from harness.records.schema import Metric, Record

RULES_VERSION = 9
TARGET_MISSED = "target_missed"
WITHIN_RUN_ONLY = "within-run only"
REPLICAS_DISAGREE = "replicas_disagree"

_RAW_TIME = (
    *("throughput.*", "goodput.*", "interactivity", "iteration.mean", "latency.*", "flops.rate", "mfu*"),
)
_TIME = (*_RAW_TIME, "iteration.mean.clean", "iteration.gated", "iteration.cold")
_SERVED = ("latency.*", "goodput.*", "interactivity")
_ENERGY = ("energy.*", "efficiency.*", "power.mean", "power.peak")
_DEVICE = (*_TIME, *_ENERGY)
_SHARED = (*_RAW_TIME, "iteration.gated", "iteration.cold", *_ENERGY)
"""Metrics that others on the host disturb; the clean mean leaves out what they disturbed."""
PLANNED = ("throughput.*", "iteration.mean*", "flops.rate", "mfu*", "energy.*", "efficiency.*", "power.mean")
"""Patterns of the metrics whose interval a trial plans for; wider ones carry the reason `target_missed`."""


def _void(rule_id: str, text: str, reads: str, fires: Predicate, *, by_metric: bool = False) -> Rule:
    return Rule(rule_id, text, ("*",), reads, fires, severity="invalid", by_metric=by_metric)


def _few(metric: str, least: int) -> Rule:
    """Iterations that a two-sided interval takes (docs/method.md, section 1)."""
    text = f"An interval takes {least} iterations."
    return Rule(f"few_for_{metric}", text, (f"latency.{metric}",), "iterations", below, least)


def _timing(rule_id: str, text: str, metrics: tuple[str, ...]) -> Rule:
    return Rule(rule_id, text, metrics, "timing_flags", has_any(frozenset({rule_id})))


def _sensor(
    rule_id: str, text: str, *flags: str, severity: Literal["flagged", "invalid"] = "flagged"
) -> Rule:
    fires = has_any(frozenset(flags))
    return Rule(rule_id, text, _ENERGY, "sensor_flags", fires, severity=severity)


_SENSOR_NOTES = frozenset(
    {
        "edges_unaligned", "averaged_gauge", "gain_uncalibrated", "guards_differ", "guards_unusable",
        "duty_cycled_counter", "part_time_counter",  # the second: in earlier records
    }
)  # fmt: skip
"""Flags that say how the energy was read; what they cost stands in its uncertainty."""
_SENSOR_FLAGS = _SENSOR_NOTES | {
    "sample_gap", "trace_truncated", "sensor_error", "sampler_failed", "below_resolution",
    "update_period_unknown", "sensors_disagree", "sensors_conflict",
    "counter_reset", "counter_jumped", "counter_still", "wrap_unknown", "sensor_stuck", "aliased",
    "implausible",
}  # fmt: skip

_RULES = (
    Rule("not_steady", "The speed was still changing when measuring began.", _DEVICE, "steady", is_false),
    Rule("drift", "The first and the last third of the measured part differ.", _DEVICE, "drift", is_true),
    _timing("drift_unknown", "Too few iterations to say whether the speed moved.", _DEVICE),
    _timing("stalled", "For over 5 % of the measured part nothing went on.", _DEVICE),
    _timing("buffer_full", "Measuring ended early: no room for more samples.", _DEVICE),
    _timing("grouped", "A quantile of groups of iterations, not of single ones.", ("latency.p*",)),
    Rule("throttled", "Heat or hardware slowed the device down.", _DEVICE, "throttled", is_true),
    Rule("sm_clock_fell", "The SMs' own clock fell by 3 % or more.", _DEVICE, "sm_throttled", is_true),
    Rule("clock_fell", "The clock fell by over 3 %.", _DEVICE, "clock_ratio", below, 0.97),
    Rule("soak_not_steady", "The soak found no steady state.", _DEVICE, "soak", unsteady_soak),
    Rule("clock_low", "Clocks ran below what was asked for.", _DEVICE, "clock_below_request", is_true),
    Rule("ranks_beyond_cores", "Ranks shared processor cores.", _DEVICE, "ranks_beyond_cores", is_true),
    Rule("not_compiled", "The compiler made nothing of the model.", _DEVICE, "compiled", left_alone),
    Rule(
        "compiled_in_part",
        "A part was compiled too often, then ran eagerly.",
        _DEVICE,
        "compiled",
        left_in_part,
    ),
    Rule("recompiled", "The model was compiled again in the span.", _DEVICE, "recompiles_in_span", above),
    Rule("cotenant", "Other processes had the device open.", _DEVICE, "cotenants", above),
    Rule("cpu_steal", "Over 2.5 % of CPU time was stolen.", _RAW_TIME, "steal_ratio", above, 0.025),
    Rule("host_contended", "Others used the host's CPUs.", _SHARED, "contention", contended),
    Rule(
        "host_overloaded",
        "Threads waited for CPUs over three quarters of the time.",
        _SHARED,
        "contention",
        over("delay_share"),
        0.75,
        "invalid",
    ),
    Rule("cpu_throttled", "A quota took CPU time.", _SHARED, "contention", over("throttled_share"), 0.01),
    Rule(
        "cpu_throttled_hard",
        "A quota stopped over nine of ten of its periods.",
        _SHARED,
        "contention",
        over("throttled_share"),
        0.9,
        "invalid",
    ),
    Rule("cpus_changed", "CPUs came or went.", _SHARED, "contention", cpus_changed),
    Rule(
        "timer_coarse", "A tick is over 1 % of it.", ("latency.*",), "tick_ns", coarse, 0.01, by_metric=True
    ),
    Rule("few_samples", "Fewer than 3 iterations.", _DEVICE, "iterations", below, 3),
    _few("p50", 6),
    _few("p90", 36),
    _few("p99", 368),
    Rule("few_requests", "Fewer than 6 requests.", _SERVED, "requests", few_requests, 6),
    Rule("requests_failed", "Some requests got no answer.", _SERVED, "requests", unanswered),
    Rule(
        "mostly_unanswered",
        "Over a fifth of the requests got no answer.",
        (*_SERVED, "throughput.*"),
        "requests",
        mostly_unanswered,
        0.2,
        "invalid",
    ),
    Rule(
        "client_bound",
        "The client read or sent later than 3 ms and 2 % of it, or used up its CPU.",
        (*_SERVED, "throughput.*"),
        "client",
        client_bound,
        0.02,
        "invalid",
        by_metric=True,
    ),
    Rule("loadgen_invalid", "LoadGen's run is not valid.", (*_SERVED, "throughput.*"), "loadgen", not_valid),
    Rule(
        "loadgen_disagrees",
        "LoadGen's percentile differs by over 1 % and 50 µs.",
        ("latency.*",),
        "loadgen",
        disagrees,
        by_metric=True,
    ),
    Rule("saturated", "Requests came faster than they were answered.", _SERVED, "saturated", is_true),
    _void("output_wrong", "The outputs failed their check.", "output_ok", is_false),
    _void("loss_not_finite", "The loss was not finite.", "loss_finite", is_false),
    _void("all_zero", "Every sample of it was zero.", "all_zero", names_metric, by_metric=True),
    _sensor("sensor_gap", "Samples of the sensor are missing.", "sample_gap", "trace_truncated"),
    _sensor("sensor_error", "A sensor or its sampler failed.", "sensor_error", "sampler_failed"),
    _sensor("sensor_coarse", "The window is too short for the sensor.", "below_resolution"),
    _sensor("sensor_unknown", "The sensor's update period is unknown.", "update_period_unknown"),
    _sensor("sensor_aliased", "Iterations came in step with a counter that may be duty-cycled.", "aliased"),
    _sensor("sensors_disagree", "Sensors differ by over 2 %.", "sensors_disagree"),
    _sensor("sensors_conflict", "Sensors differ by over 5 %.", "sensors_conflict", severity="invalid"),
    _sensor("counter_reset", "The counter was set back.", "counter_reset", severity="invalid"),
    _sensor("counter_jumped", "The counter jumped.", "counter_jumped", "wrap_unknown", severity="invalid"),
    _sensor("sensor_implausible", "Readings that cannot be true were left out.", "implausible"),
    _sensor("counter_stuck", "The counter stood still.", "counter_still", "sensor_stuck", severity="invalid"),
    Rule(
        "sensor_other",
        "The sensor raised a flag that has no rule.",
        _ENERGY,
        "sensor_flags",
        has_other(_SENSOR_FLAGS),
    ),
)
RULES: dict[str, Rule] = {rule.id: rule for rule in _RULES}
_READERS = tuple(
    (EVIDENCE[key], tuple((place, rule) for place, rule in enumerate(_RULES) if rule.reads == key))
    for key in dict.fromkeys(rule.reads for rule in _RULES)
)
"""The rules that read a fact of the evidence, each with its place in the table."""
_ANY = Metric(id="any", value=None, unit="1", direction="none", estimator="")
"""Stands for every metric where a rule looks at none."""

_TEXTS = {rule.id: rule.text for rule in _RULES} | {
    "evidence_unreadable": "The evidence that a rule reads is not of the kind it expects.",
    "zero_value": "It is zero or negative, which this quantity cannot be.",
    "other_semantics": "It was measured under another definition of this metric.",
    "interval_not_finite": "The replicas spread too far for an interval.",
    TARGET_MISSED: "The interval is wider than planned.",
    REPLICAS_DISAGREE: "The replicas counted differently.",
    WITHIN_RUN_ONLY: "One process stands for the configuration; the spread between processes is unknown.",
    "no spread": "All replicas gave the same value, so the width of the interval says nothing.",
    "ties": "Some replicas gave the same value: the clock or counter is coarser than the spread.",
}


def describe(reason: str) -> str:
    """Return the sentence behind a reason; one that is no rule's id is a sentence already."""
    return _TEXTS.get(reason, reason)


def judge(record: Record) -> dict[str, tuple[Validity, tuple[str, ...]]]:
    """Judge every metric of a record: its validity and the reasons, as ids of rules.

    A metric without a value is `unavailable`, and its reason is the record's own.
    """
    fired: list[int] = []
    by_metric: list[tuple[int, Rule, Any]] = []
    facts = record.evidence
    for row, rules in _READERS:
        evidence = facts.get(row.key)
        if evidence is None and row.formerly is not None:
            evidence = facts.get(row.formerly)
        if evidence is None or evidence == []:  # no rule fires for a list of nothing
            continue
        fits = row.fits(evidence)
        for place, rule in rules:
            if not fits:
                fired.append(~place)
            elif rule.by_metric:
                by_metric.append((place, rule, evidence))
            elif rule.fires(evidence, rule.threshold, _ANY):
                fired.append(place)
    whole = tuple(fired)
    return {
        metric.id: _unavailable(metric.reason)
        if metric.value is None
        else _judge_metric(whole, by_metric, metric.value, metric)
        for metric in record.metrics
    }


def _judge_metric(
    whole: tuple[int, ...], by_metric: Sequence[tuple[int, Rule, Any]], value: float, metric: Metric
) -> tuple[Validity, tuple[str, ...]]:
    """Judge a metric with a value by the rules that fired for its record and those that look at it."""
    for place, rule, evidence in by_metric:
        if rule.touches(metric.id) and rule.fires(evidence, rule.threshold, metric):
            whole = (*whole, place)
    definition = METRICS.get(metric.id)
    if definition is None:
        return _verdict(whole, metric.id, False, False)
    zero = definition.scale == "log" and value <= 0
    return _verdict(whole, metric.id, zero, definition.version != metric.semantics_version)


@lru_cache(maxsize=1 << 12)
def _unavailable(reason: str | None) -> tuple[Validity, tuple[str, ...]]:
    return "unavailable", (reason or "no reason was recorded",)


@lru_cache(maxsize=1 << 15)
def _verdict(
    fired: tuple[int, ...], metric_id: str, zero: bool, other: bool, /
) -> tuple[Validity, tuple[str, ...]]:
    """Return what fired rules, by their places (inverted where unreadable), make of a metric."""
    invalid: list[str] = []
    flagged: list[str] = []
    for place in sorted(fired, key=lambda place: max(place, ~place)):
        rule = _RULES[max(place, ~place)]
        if not rule.touches(metric_id):
            continue
        if place < 0:
            flagged.append("evidence_unreadable")
        else:
            (invalid if rule.severity == "invalid" else flagged).append(rule.id)
    if zero:
        invalid.append("zero_value")
    if other:
        flagged.append("other_semantics")
    reasons = tuple(dict.fromkeys((*invalid, *flagged)))
    return ("invalid" if invalid else "flagged" if flagged else "valid"), reasons
