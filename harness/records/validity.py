"""Validity: rules as data, judged over a record's evidence each time it is read (docs/method.md, section 5).

A rule reads one key of `Record.evidence`; a key that is absent or None says nothing. The rules are not stored
with the records, so that a better rule also judges old records; `RULES_VERSION` says which set judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from harness.records.metrics import METRICS
from harness.records.results import Validity
from harness.records.schema import Metric, Record

RULES_VERSION = 1
WITHIN_RUN_ONLY = "within-run only"
TARGET_MISSED = "target_missed"
REPLICAS_DISAGREE = "replicas_disagree"

_RAW_TIME = ("throughput.*", "iteration.mean", "latency.*", "flops.rate", "mfu")
_TIME = (*_RAW_TIME, "iteration.mean.clean")
_ENERGY = ("energy.*", "power.mean", "power.peak")
_DEVICE = (*_TIME, *_ENERGY)
_TICKED = ("iteration.*", "latency.*")
_PLANNED = ("throughput.*", "iteration.*", "flops.rate", "mfu", "energy.*", "power.mean")

Predicate = Callable[[Any, float, Metric], bool]
"""Over the evidence, the rule's threshold and the metric; it has no other input and no effect."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to doubt, or to reject, some metrics of a record."""

    id: str
    text: str
    """One sentence for the reader of a report."""
    metrics: tuple[str, ...]
    """Patterns of the metric ids it touches."""
    reads: str
    """The key of the evidence it reads."""
    fires: Predicate
    kind: type | tuple[type, ...] = bool
    """What the evidence must be; anything else fires `evidence_unreadable`."""
    threshold: float = 0.0
    severity: Literal["flagged", "invalid"] = "flagged"

    def touches(self, metric_id: str) -> bool:
        """Say whether the rule concerns a metric."""
        return any(fnmatchcase(metric_id, pattern) for pattern in self.metrics)


def _is_true(value: Any, _threshold: float, _metric: Metric) -> bool:
    return bool(value)


def _is_false(value: Any, _threshold: float, _metric: Metric) -> bool:
    return not value


def _above(value: Any, threshold: float, _metric: Metric) -> bool:
    return bool(value > threshold)


def _below(value: Any, threshold: float, _metric: Metric) -> bool:
    return bool(value < threshold)


def _tick_above_share(tick_ns: Any, threshold: float, metric: Metric) -> bool:
    return metric.value is not None and tick_ns * 1e-9 > threshold * metric.value


def _names_metric(metric_ids: Any, _threshold: float, metric: Metric) -> bool:
    return metric.id in metric_ids


def _has(*flags: str) -> Predicate:
    return lambda value, _threshold, _metric: any(flag in value for flag in flags)


def _has_other(value: Any, _threshold: float, _metric: Metric) -> bool:
    return not SENSOR_FLAGS.issuperset(flag for flag in value if isinstance(flag, str))


SENSOR_FLAGS = frozenset(
    {"gap", "short_window", "aliased", "disagree", "disagree_fail", "reset", "error", "lost"}
)
"""The words of `sensor_flags` that have a rule of their own."""
_NUMBER = (int, float)

_RULES = (
    Rule("not_steady", "The speed was still changing when measuring began.", _DEVICE, "steady", _is_false),
    Rule("drift", "The first and the last third of the measured part differ.", _DEVICE, "drift", _is_true),
    Rule(TARGET_MISSED, "The interval is wider than planned.", _PLANNED, "target_missed", _is_true),
    Rule(
        "output_wrong", "The outputs failed their check.", ("*",), "output_ok", _is_false, severity="invalid"
    ),
    Rule("loss_not_finite", "The loss was not finite.", ("*",), "loss_finite", _is_false, severity="invalid"),
    Rule("all_zero", "Every sample was zero.", ("*",), "all_zero", _names_metric, list, severity="invalid"),
    Rule("throttled", "Heat or hardware slowed the device down.", _DEVICE, "throttled", _is_true),
    Rule("clock_low", "Clocks ran below what was asked for.", _DEVICE, "clock_below_request", _is_true),
    Rule("cotenant", "Other processes used the device.", _DEVICE, "cotenants", _above, _NUMBER, 0),
    Rule("cpu_steal", "Over 2.5 % of CPU time was stolen.", _RAW_TIME, "steal_ratio", _above, _NUMBER, 0.025),
    Rule("timer_coarse", "A tick is over 1 % of it.", _TICKED, "tick_ns", _tick_above_share, _NUMBER, 0.01),
    Rule("few_samples", "Fewer than 3 iterations.", _DEVICE, "iterations", _below, _NUMBER, 3),
    Rule(
        "few_for_p50", "An interval takes 6 iterations.", ("latency.p50",), "iterations", _below, _NUMBER, 6
    ),
    Rule(
        "few_for_p90", "An interval takes 36 iterations.", ("latency.p90",), "iterations", _below, _NUMBER, 36
    ),
    Rule(
        "few_for_p99",
        "An interval takes 368 iterations.",
        ("latency.p99",),
        "iterations",
        _below,
        _NUMBER,
        368,
    ),
    Rule("sensor_gap", "Samples of the sensor are missing.", _ENERGY, "sensor_flags", _has("gap"), list),
    Rule("sensor_window", "Too short for the sensor.", _ENERGY, "sensor_flags", _has("short_window"), list),
    Rule("sensor_aliased", "Locked to the sensor's period.", _ENERGY, "sensor_flags", _has("aliased"), list),
    Rule("sensors_disagree", "Sensors differ by over 2 %.", _ENERGY, "sensor_flags", _has("disagree"), list),
    Rule(
        "sensors_contradict",
        "Sensors differ by over 5 %.",
        _ENERGY,
        "sensor_flags",
        _has("disagree_fail"),
        list,
        severity="invalid",
    ),
    Rule(
        "sensor_failed",
        "A counter was reset, a sensor failed, or the device was lost.",
        _ENERGY,
        "sensor_flags",
        _has("reset", "error", "lost"),
        list,
        severity="invalid",
    ),
    Rule("sensor_other", "The sensor raised another flag.", _ENERGY, "sensor_flags", _has_other, list),
)
RULES: dict[str, Rule] = {rule.id: rule for rule in _RULES}

_TEXTS = {rule.id: rule.text for rule in _RULES} | {
    "evidence_unreadable": "The evidence that a rule reads is not of the kind it expects.",
    "zero_value": "It is zero or negative, which this quantity cannot be.",
    "other_semantics": "It was measured under another definition of this metric.",
    "interval_not_finite": "The replicas spread too far for an interval.",
    REPLICAS_DISAGREE: "The replicas counted differently.",
    WITHIN_RUN_ONLY: "One process stands for the configuration; the spread between processes is unknown.",
}


def describe(reason: str) -> str:
    """Return the sentence behind a reason; one that is no rule's id is a sentence already."""
    return _TEXTS.get(reason, reason)


def judge(record: Record) -> dict[str, tuple[Validity, tuple[str, ...]]]:
    """Judge every metric of a record: its validity and the reasons, as ids of rules.

    A metric without a value is `unavailable`, and its reason is the record's own.
    """
    return {metric.id: _judge_metric(record, metric) for metric in record.metrics}


def _judge_metric(record: Record, metric: Metric) -> tuple[Validity, tuple[str, ...]]:
    if metric.value is None:
        return "unavailable", (metric.reason or "no reason was recorded",)
    invalid: list[str] = []
    flagged: list[str] = []
    for rule in _RULES:
        evidence = record.evidence.get(rule.reads)
        if evidence is None or not rule.touches(metric.id):
            continue
        if not _is_kind(evidence, rule.kind):
            flagged.append("evidence_unreadable")
        elif rule.fires(evidence, rule.threshold, metric):
            (invalid if rule.severity == "invalid" else flagged).append(rule.id)
    definition = METRICS.get(metric.id)
    if definition is not None and definition.scale == "log" and metric.value <= 0:
        invalid.append("zero_value")
    if definition is not None and definition.version != metric.semantics_version:
        flagged.append("other_semantics")
    reasons = tuple(dict.fromkeys((*invalid, *flagged)))
    return ("invalid" if invalid else "flagged" if flagged else "valid"), reasons


def _is_kind(evidence: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(evidence, kind) and (kind is bool or not isinstance(evidence, bool))
