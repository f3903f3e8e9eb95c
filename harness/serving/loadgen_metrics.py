"""What LoadGen published of a run, as metrics beside ours, and whether its percentiles are ours."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.config.serving import LoadGenScenario
from harness.records.metrics import make
from harness.records.schema import Metric
from harness.serving.loadgen_log import Judged, Log
from harness.serving.requests import ServedRequest

SLACK_S, SLACK = 50e-6, 0.01
"""Our percentiles and LoadGen's agree within the larger of the two."""
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_KEYS = {
    "ttft": "result_first_token_{}_percentile_latency_ns",
    "tpot": "result_time_per_output_token_{}_percentile_ns",
    "e2e": "result_{}_percentile_latency_ns",
}
RATES: dict[LoadGenScenario, dict[str, str]] = {
    "offline": {"samples": "result_samples_per_second", "tokens": "result_tokens_per_second"},
    "server": {
        "samples": "result_completed_samples_per_sec",
        "tokens": "result_completed_tokens_per_second",
    },
}
"""What MLPerf publishes of a scenario as a rate, with the key of the log."""
_ESTIMATE = re.compile(r"(\d+\.\d)th percentile estimate: (\d+)")


@dataclass(frozen=True, slots=True)
class Published:
    """The figures of a valid run that MLPerf publishes; a figure that is not there has a reason."""

    values: Mapping[str, float] = field(default_factory=dict)
    """By the metric's id."""
    reasons: Mapping[str, str] = field(default_factory=dict)


def published(log: Log, scenario: LoadGenScenario, percentile: float, found: Judged) -> Published:
    """Return MLPerf's own figures: completed rates, or the early-stopping estimates of latencies.

    With token latencies SingleStream estimates the first token and the time per output token, and calls the
    first the latency; MultiStream estimates its whole queries, under all three names.

    Args:
        log: Of LoadGen.
        scenario: That was run.
        percentile: Of the estimates.
        found: What holds of the run.
    """
    values, reasons = dict[str, float](), dict[str, str]()

    def add(name: str, value: float | None) -> None:
        why = "; ".join(found.reasons) if not found.valid else found.void.get(name)
        if why is None and (value is None or value <= 0):
            why = f"LoadGen's log has no estimate at the {percentile:.0%} quantile" if value is None else (
                f"LoadGen's own is {value:g}, which it cannot be"
            )  # fmt: skip
        if why is not None:
            reasons[f"mlperf.{name}"] = why
        elif value is not None:
            values[f"mlperf.{name}"] = value

    for name, key in RATES.get(scenario, {}).items():
        add(name, _number(log.values.get(key)))
    if scenario == "single_stream":
        for name in ("ttft", "tpot"):
            add(name, _estimate(log, f"early_stopping_{name}_result", percentile))
    if scenario == "multi_stream":
        add("query", log.seconds("early_stopping_latency_ms"))
    return Published(values, reasons)


def mlperf_metrics(found: Published, n: int) -> Iterator[Metric]:
    """Yield them as metrics; `n` samples were answered."""
    for metric_id, value in found.values.items():
        yield make(metric_id, value, n=n)
    for metric_id, reason in found.reasons.items():
        yield make(metric_id, None, reason=reason)


def held_together(
    log: Log, requests: Sequence[ServedRequest], found: Judged
) -> tuple[dict[str, list[float]], list[str]]:
    """Return our percentiles and LoadGen's, s, by the metric's id, and the ids of those that disagree.

    By LoadGen's rule: of n values in order the one at place floor(n p).
    """
    ours: dict[str, Sequence[float]] = {
        "ttft": [r.ttft_ns for r in requests if r.ttft_ns is not None],
        "tpot": [r.tpot_ns for r in requests if r.tpot_ns is not None],
        "e2e": [r.e2e_ns for r in requests if r.answered],
    }
    pairs, apart = dict[str, list[float]](), list[str]()
    for name, key in _KEYS.items():
        values = sorted(ours[name])
        for word, p in PERCENTILES.items():
            theirs_s = log.seconds(key.format(f"{p * 100:.2f}"))
            if theirs_s is None or not values or name in found.void:
                continue
            ours_s = values[min(len(values) - 1, int(len(values) * p))] / 1e9
            pairs[f"latency.{name}.{word}"] = [ours_s, theirs_s]
            if not math.isclose(ours_s, theirs_s, rel_tol=SLACK, abs_tol=SLACK_S):
                apart.append(f"latency.{name}.{word}")
    return pairs, apart


def _number(value: Any) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def _estimate(log: Log, key: str, percentile: float) -> float | None:
    """Return an early-stopping estimate, s, from the words in which the log holds it."""
    for shown, value in _ESTIMATE.findall(str(log.values.get(key))):
        if math.isclose(float(shown), percentile * 100, abs_tol=0.05):
            return int(value) / 1e9
    return None
