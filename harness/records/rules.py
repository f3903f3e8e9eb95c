"""What a rule of validity is, and the predicates by which rules look at evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal

from harness.records.schema import Metric
from harness.system.contention import is_contended

_LATE_S = 0.003
"""A client that is never later than this sees what it says (docs/serving.md)."""
_BUSY_CLIENT = 0.9
"""Share of a CPU from which a client's one thread is the limit itself."""

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
    """The key of `harness.records.evidence.EVIDENCE` it reads; another kind fires `evidence_unreadable`."""
    fires: Predicate
    threshold: float = 0.0
    severity: Literal["flagged", "invalid"] = "flagged"
    by_metric: bool = False
    """Its predicate looks at the metric; the others say the same of every metric that they touch."""

    def touches(self, metric_id: str) -> bool:
        """Say whether the rule concerns a metric."""
        return _matches(self.metrics, metric_id)


@lru_cache(maxsize=4096)
def _matches(patterns: tuple[str, ...], metric_id: str) -> bool:
    return any(fnmatchcase(metric_id, pattern) for pattern in patterns)


def is_true(value: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire for what is true."""
    return bool(value)


def is_false(value: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire for what is false."""
    return not value


def above(value: Any, threshold: float, _metric: Metric) -> bool:
    """Fire above the threshold."""
    return bool(value > threshold)


def below(value: Any, threshold: float, _metric: Metric) -> bool:
    """Fire below the threshold."""
    return bool(value < threshold)


def few_requests(endings: Any, threshold: float, _metric: Metric) -> bool:
    """Fire for fewer requests than the threshold, however they ended."""
    return bool(sum(endings.values()) < threshold)


def unanswered(endings: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire where a request ended without an answer."""
    return any(count for ended, count in endings.items() if ended != "answered")


def coarse(tick_ns: Any, threshold: float, metric: Metric) -> bool:
    """Fire where a tick is more than this share of the metric."""
    return metric.value is not None and bool(tick_ns > threshold * metric.value * 1e9)


def names_metric(metric_ids: Any, _threshold: float, metric: Metric) -> bool:
    """Fire for the metrics that are named."""
    return metric.id in metric_ids


def unsteady_soak(soak: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire where a soak was made and found no steady state."""
    return soak.get("done") is True and soak.get("steady") is not True


def contended(contention: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire where others used the host."""
    return is_contended(contention)


def over(key: str) -> Predicate:
    """Return a predicate that fires where a share is over the threshold."""

    def fires(contention: Any, threshold: float, _metric: Metric) -> bool:
        share = contention.get(key)
        return isinstance(share, float | int) and share > threshold

    return fires


def cpus_changed(contention: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire where CPUs came or went."""
    return contention.get("cpus_changed") is True


def left_alone(compiled: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire where the compiler made nothing of the model."""
    return bool(compiled == "not compiled")


def left_in_part(compiled: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire where a part ran eagerly in the end."""
    return bool("then eager" in compiled)


def client_bound(client: Any, threshold: float, metric: Metric) -> bool:
    """Tell whether the client's own lateness is more than 3 ms and more than this share of a latency."""
    share = client.get("cpu_share")
    if isinstance(share, float | int) and share > _BUSY_CLIENT:
        return True
    told = [client.get(key) for key in ("late_s", "sent_late_s")]
    late = [one for one in told if isinstance(one, float | int) and not isinstance(one, bool)]
    if metric.value is None or not late or not metric.id.startswith(("latency.", "interactivity")):
        return False
    late_s, value_s = max(late), metric.value
    if metric.id == "interactivity":
        value_s = 1 / value_s if value_s > 0 else 0.0
    pieces = client.get("pieces_per_answer")
    spread = metric.id.startswith(("latency.tpot", "interactivity")) or metric.id == "latency.gap"
    if spread and isinstance(pieces, float | int):
        late_s /= max(1.0, pieces - 1)  # first and last alone are late
    return bool(late_s > max(threshold * value_s, _LATE_S))


def mostly_unanswered(endings: Any, threshold: float, _metric: Metric) -> bool:
    """Fire where more than this share of the requests got no answer."""
    return bool(sum(endings.values()) - endings.get("answered", 0) > threshold * sum(endings.values()))


def not_valid(loadgen: Any, _threshold: float, _metric: Metric) -> bool:
    """Fire when LoadGen's verdict is against the run, or something is against its verdict."""
    return loadgen.get("valid") is not True


def disagrees(loadgen: Any, _threshold: float, metric: Metric) -> bool:
    """Fire for a metric of which LoadGen's log has another percentile."""
    apart = loadgen.get("disagree")
    return isinstance(apart, list) and metric.id in apart


def has_any(flags: frozenset[str]) -> Predicate:
    """Return a predicate that fires for a list with one of the flags."""
    return lambda value, _threshold, _metric: any(flag in value for flag in flags)


def has_other(flags: frozenset[str]) -> Predicate:
    """Return a predicate that fires for a list with another flag than these."""
    return lambda value, _threshold, _metric: any(
        not (isinstance(flag, str) and flag in flags) for flag in value
    )
