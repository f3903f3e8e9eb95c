"""From the log of requests to metrics: pure arithmetic, so that an audit makes the same numbers again.

A request that got no answer is never dropped. It counts as slower than every other one: a quantile that falls
among such requests has no value, and the reason says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.records.metrics import make
from harness.records.schema import Metric
from harness.serving.requests import ServedRequest
from harness.stats import least_effective_samples, quantile
from harness.stats.interval import Interval
from harness.stats.quantiles import quantile_interval

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_ENDINGS = tuple(f".{word}" for word in QUANTILES)
UNTOLD = "the server told no believable number of an answer's tokens"
NO_REQUESTS = "no request arrived within the span"
LATENCIES: dict[str, Callable[[ServedRequest], float | None]] = {
    "ttft": lambda request: request.ttft_ns,
    "ttfa": lambda request: request.ttfa_ns,
    "tpot": lambda request: request.tpot_ns,
    "e2e": lambda request: request.e2e_ns,
    "queue": lambda request: request.queue_ns,
}
"""One value for each request, ns; `gap` has one for each gap."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a good answer keeps within, s; None is no limit."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    share: float = 0.9
    """Least share of requests that must be good before a rate counts as met."""

    @property
    def stated(self) -> bool:
        """Whether there is any limit."""
        return any(limit is not None for limit in (self.ttft_s, self.tpot_s, self.e2e_s))

    def met(self, request: ServedRequest) -> bool:
        """Tell whether the answer came whole and within every limit; one of one token has no tpot to keep.

        Raises:
            ValueError: there is a limit on tpot, and nobody told the answer's tokens.
        """
        if not request.answered:
            return False
        if self.tpot_s is not None and request.tokens is None:
            raise ValueError(f"{UNTOLD}: its time per output token is unknown")
        found = (request.ttft_ns, request.tpot_ns, request.e2e_ns)
        limits = (self.ttft_s, self.tpot_s, self.e2e_s)
        return all(
            limit is None or value is None or value <= limit * 1e9
            for value, limit in zip(found, limits, strict=True)
        )


def metrics_of(requests: Sequence[ServedRequest], span_ns: tuple[int, int], limits: Limits) -> list[Metric]:
    """Return a replica's metrics of serving, each with its value or the reason why there is none.

    Rates are of all requests that ended, and of all tokens that came, within the span, whoever asked.

    Args:
        requests: The whole log.
        span_ns: Its begin and end on the clock of the stamps.
        limits: For goodput; it is left out where there is none.
    """
    return [*_rates(requests, span_ns), *request_metrics(requests, span_ns, limits)]


def request_metrics(
    requests: Sequence[ServedRequest], span_ns: tuple[int, int], limits: Limits
) -> list[Metric]:
    """Return the metrics of `metrics_of` but for the rates: latencies and errors of the counted requests."""
    counted = [request for request in requests if request.counted]
    return [
        *_goodput(requests, counted, span_ns, limits),
        *_latencies(counted),
        *_gaps(counted),
        *_interactivity(counted),
        *_failures(counted),
    ]


def endings(requests: Sequence[ServedRequest]) -> dict[str, int]:
    """Count the counted requests by how they ended."""
    return dict(Counter(request.ended for request in requests if request.counted))


def good_share(requests: Sequence[ServedRequest], limits: Limits) -> float:
    """Return the share of the counted requests that were answered within the limits.

    Raises:
        ValueError: none is counted, or a limit cannot be judged.
    """
    met = [limits.met(request) for request in requests if request.counted]
    if not met:
        raise ValueError(NO_REQUESTS)
    return sum(met) / len(met)


def saturated(requests: Sequence[ServedRequest]) -> bool:
    """Tell whether the server fell behind an open loop while the counted requests arrived.

    A server that keeps up ends as many requests as arrive, but for a few in flight; one at its limit has a
    backlog that wanders by the square root of the arrivals. Twice that, and a twentieth of them, is behind.
    """
    arrivals = sorted(request.arrival_ns for request in requests if request.counted)
    if len(arrivals) < 2:
        return False
    first, last = arrivals[0], arrivals[-1]
    came = sum(first < request.arrival_ns <= last for request in requests)
    went = sum(first < request.end_ns <= last for request in requests)
    return came - went > max(2 * math.sqrt(came), 0.05 * came)


def tokens_within(requests: Sequence[ServedRequest], span_ns: tuple[int, int]) -> float | None:
    """Return the output tokens that came after the span's begin and until its end; None where unknown.

    The pieces of an answer count for an equal share of its tokens each: one in this process, on average the
    right number where an event holds several.
    """
    begin, end = span_ns
    total = 0.0
    for request in requests:
        within = sum(begin < stamp <= end for stamp in request.token_ns)
        if within and request.tokens is None:
            return None
        if within and request.tokens is not None:
            total += within * request.tokens / len(request.token_ns)
    return total


def request_quantile(values: Sequence[float], missing: int, q: float) -> tuple[float | None, str | None]:
    """Return quantile `q` of values in order of time, or the reason why there is none.

    Args:
        values: Of the requests that have one.
        missing: Requests that never got so far, slower than all others.
        q: Which quantile.
    """
    filled, reason = _with_missing(values, missing, q)
    if filled is None:
        return None, reason
    found = quantile(filled, q)
    # The median of a few is still the middle one; the tail of a few is only their largest.
    if not found.enough and q != 0.5:
        return None, f"{found.effective_samples:.0f} effective samples; {least_effective_samples(q)} needed"
    return found.value, None


def request_quantile_interval(values: Sequence[float], missing: int, q: float) -> Interval | None:
    """Return the same quantile with the 95 % interval of this run alone; None where it has no value."""
    filled, _ = _with_missing(values, missing, q)
    return None if filled is None else quantile_interval(filled, q)


def _with_missing(values: Sequence[float], missing: int, q: float) -> tuple[list[float] | None, str | None]:
    if not values:
        return None, "no request got so far" if missing else NO_REQUESTS
    total = len(values) + missing
    if missing and q * (total - 1) > len(values) - 1:
        return None, f"{missing} of {total} requests got no such answer, and the quantile is among them"
    return [*values, *[max(values)] * missing], None


def _rates(requests: Sequence[ServedRequest], span_ns: tuple[int, int]) -> Iterator[Metric]:
    begin, end = span_ns
    span_s = (end - begin) / 1e9
    tokens = tokens_within(requests, span_ns)
    done = sum(request.answered and begin < request.end_ns <= end for request in requests)
    if tokens is None:
        yield make("throughput.tokens", None, reason=UNTOLD)
    else:
        yield make("throughput.tokens", tokens / span_s, n=done)
    yield make("throughput.requests", done / span_s, n=done)


def _goodput(
    requests: Sequence[ServedRequest],
    counted: Sequence[ServedRequest],
    span_ns: tuple[int, int],
    limits: Limits,
) -> Iterator[Metric]:
    if not limits.stated:
        return
    begin, end = span_ns
    ended = [request for request in requests if begin < request.end_ns <= end]
    try:
        rate = sum(limits.met(request) for request in ended) / ((end - begin) / 1e9)
        yield make("goodput.requests", rate, n=len(ended))
        yield make("goodput.share", good_share(counted, limits), n=len(counted))
    except ValueError as error:
        for metric_id in ("goodput.requests", "goodput.share"):
            yield make(metric_id, None, reason=str(error))


def _latencies(counted: Sequence[ServedRequest]) -> Iterator[Metric]:
    for name, of in LATENCIES.items():
        population = [r for r in counted if not (name == "tpot" and r.answered and r.tokens == 1)]
        found = [of(request) if request.answered else None for request in population]
        if name == "ttfa" and not any(request.answer_ns is not None for request in counted):
            continue
        if name == "tpot" and any(request.answered and request.tokens is None for request in population):
            yield from (make(f"latency.tpot{word}", None, reason=UNTOLD) for word in ("", *_ENDINGS))
            continue
        values = [value / 1e9 for value in found if value is not None]
        # A request of many tokens tells more of a token's time than one of few.
        weights = [r.tokens - 1 for r in population if r.answered and r.tpot_ns is not None and r.tokens]
        yield from _summary(name, values, len(population) - len(values), weights if name == "tpot" else None)


def _gaps(counted: Sequence[ServedRequest]) -> Iterator[Metric]:
    gaps = [gap / 1e9 for request in counted if request.answered for gap in request.gaps_ns]
    missing = sum(not request.answered for request in counted)
    yield from _summary("gap", gaps, missing)


def _summary(
    name: str, values: Sequence[float], missing: int, weights: Sequence[int] | None = None
) -> Iterator[Metric]:
    """Yield the mean of those that have a value, and the quantiles over all."""
    mean_id = f"latency.{name}"
    if values:
        yield make(mean_id, float(np.average(values, weights=weights)), n=len(values))
    else:
        yield make(mean_id, None, reason="no request got so far" if missing else NO_REQUESTS)
    for word, q in QUANTILES.items():
        value, reason = request_quantile(values, missing, q)
        yield make(f"{mean_id}.{word}", value, n=len(values), reason=reason)


def _interactivity(counted: Sequence[ServedRequest]) -> Iterator[Metric]:
    tpot = [r.tpot_ns / 1e9 for r in counted if r.answered and r.tpot_ns]
    if any(request.answered and request.tokens is None for request in counted):
        yield make("interactivity", None, reason=UNTOLD)
        return
    missing = sum(not request.answered for request in counted)
    value, reason = request_quantile(tpot, missing, 0.5)
    speed = None if value is None else 1 / value
    yield make("interactivity", speed, n=len(tpot), reason=reason)


def _failures(counted: Sequence[ServedRequest]) -> Iterator[Metric]:
    if not counted:
        yield make("requests.failed", None, reason=NO_REQUESTS)
        return
    failed = sum(not request.answered for request in counted)
    yield make("requests.failed", failed / len(counted), n=len(counted))
