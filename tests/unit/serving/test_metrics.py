"""Metrics of serving from a log whose answers are known by arithmetic."""

import pytest

from harness.records.metrics import METRICS
from harness.serving.metrics import (
    Limits,
    endings,
    good_share,
    metrics_of,
    request_quantile_interval,
    saturated,
    tokens_within,
)
from harness.serving.requests import ServedRequest

MS = 1_000_000
NONE = Limits()


def answered(number, arrival_ms, *, first_ms=100, gap_ms=10, tokens=5, **more):
    """An answer whose first token takes `first_ms`, and each other `gap_ms`."""
    stamps = tuple((arrival_ms + first_ms + gap_ms * i) * MS for i in range(tokens))
    told = {
        "start_ns": arrival_ms * MS,
        "end_ns": stamps[-1],
        "tokens": tokens,
        "token_ns": stamps,
        "ended": "answered",
    }
    return ServedRequest(number, arrival_ms * MS, **told | more)


def lost(number, arrival_ms, ended="rejected"):
    """A request without an answer."""
    return ServedRequest(number, arrival_ms * MS, (arrival_ms + 1) * MS, ended)


def found(requests, span_ms, limits=NONE):
    """The metrics of a log by id, the span in ms."""
    metrics = metrics_of(requests, (span_ms[0] * MS, span_ms[1] * MS), limits)
    assert all(metric.id in METRICS for metric in metrics)
    return {metric.id: metric for metric in metrics}


def test_a_scripted_log_has_the_metrics_of_its_script():
    """Ten answers a second apart: 100 ms to the first token, then four of 10 ms each."""
    metrics = found([answered(i, 1000 * i) for i in range(10)], (0, 10_000))
    values = {name: metric.value for name, metric in metrics.items() if metric.value is not None}
    assert values["latency.ttft"] == pytest.approx(0.1)
    assert values["latency.ttft.p50"] == pytest.approx(0.1)
    assert values["latency.tpot"] == pytest.approx(0.01)
    assert values["latency.gap.p50"] == pytest.approx(0.01)
    assert values["latency.e2e"] == pytest.approx(0.14)
    assert values["interactivity"] == pytest.approx(100)
    assert values["throughput.tokens"] == pytest.approx(5)
    assert values["throughput.requests"] == pytest.approx(1)
    assert values["requests.failed"] == 0
    assert metrics["latency.ttft.p99"].reason == "10 effective samples; 368 needed"
    assert not {"latency.ttfa", "goodput.share"} & set(metrics)


def test_time_per_token_is_a_mean_over_tokens_and_its_quantile_over_requests():
    """One gap of 40 ms and four of 10 ms."""
    metrics = found([answered(0, 0, tokens=2, gap_ms=40), answered(1, 0)], (0, 1000))
    assert metrics["latency.tpot"].value == pytest.approx(0.016)
    assert metrics["latency.tpot.p50"].value == pytest.approx(0.025)


def test_an_answer_of_one_token_has_no_part_in_the_time_per_token():
    """It has nothing after its first token."""
    metrics = found([answered(0, 0, tokens=1), answered(1, 0)], (0, 1000))
    assert (metrics["latency.tpot.p50"].value, metrics["latency.tpot.p50"].n) == (pytest.approx(0.01), 1)


def test_requests_without_an_answer_are_slower_than_all_others():
    """Four of ten are lost: the median is still that of an answer, the 90th percentile has no value."""
    log = [answered(i, 1000 * i, first_ms=100 + i) for i in range(6)] + [lost(i, 1000 * i) for i in range(4)]
    metrics = found(log, (0, 10_000))
    assert metrics["latency.ttft.p50"].value == pytest.approx(0.1045)
    assert metrics["latency.ttft.p90"].reason == (
        "4 of 10 requests got no such answer, and the quantile is among them"
    )
    assert metrics["requests.failed"].value == pytest.approx(0.4)
    assert endings(log) == {"answered": 6, "rejected": 4}


def test_rates_count_what_came_within_the_span_whoever_asked():
    """A request that only keeps the load up makes tokens too, but no latency."""
    log = [answered(0, 0), answered(1, 800, counted=False, gap_ms=100)]
    metrics = found(log, (0, 1000))
    assert metrics["throughput.tokens"].value == pytest.approx(7)  # 900 and 1000 ms of the second
    assert metrics["throughput.requests"].value == pytest.approx(1)
    assert metrics["latency.ttft"].n == 1


def test_tokens_that_nobody_told_are_not_guessed():
    """Six tokens in two pieces: the later piece counts for three."""
    log = [answered(0, 0, tokens=3), answered(1, 0)]
    pieces = [ServedRequest(2, 0, 9, "answered", (1, 2), tokens=6), log[1]]
    assert tokens_within(pieces, (1, 10)) == 3
    untold = ServedRequest(3, 0, 5 * MS, "answered", (1 * MS, 2 * MS))
    metrics = found([untold], (0, 10), Limits(tpot_s=1))
    assert metrics["throughput.tokens"].reason == "the server told no believable number of an answer's tokens"
    assert "unknown" in metrics["goodput.share"].reason


def test_goodput_counts_answers_within_every_limit():
    """Two of five keep 250 ms: one is lost, two are slower."""
    log = [answered(i, 1000 * i, first_ms=100 * (i + 1)) for i in range(4)] + [lost(4, 0)]
    limits = Limits(ttft_s=0.25, tpot_s=0.02)
    metrics = found(log, (0, 10_000), limits)
    assert metrics["goodput.share"].value == pytest.approx(0.4) == good_share(log, limits)
    assert metrics["goodput.requests"].value == pytest.approx(0.2)


def test_nothing_counted_has_no_latency_and_says_so():
    """A request that only keeps up the load counts for no latency."""
    metrics = found([answered(0, 0, counted=False)], (0, 1000), Limits(e2e_s=1))
    assert metrics["latency.ttft.p50"].reason == metrics["requests.failed"].reason
    assert metrics["goodput.share"].value is None


def test_a_server_that_falls_behind_is_saturated():
    """A hundred arrivals 10 ms apart: ends after 50 ms each keep up; one end each 20 ms does not."""
    keeps = [ServedRequest(i, 10 * i * MS, (10 * i + 50) * MS, "answered") for i in range(100)]
    behind = [ServedRequest(i, 10 * i * MS, 20 * (i + 1) * MS, "answered") for i in range(100)]
    assert not saturated(keeps)
    assert saturated(behind)
    assert not saturated(keeps[:1])


def test_a_quantile_of_one_run_has_its_own_interval():
    """The values are spread evenly from 1.0 to 1.4."""
    values = [1.0 + (7 * i % 400) / 1000 for i in range(400)]
    one = request_quantile_interval(values, 0, 0.9)
    assert 1.3 < one.low < 1.36 < one.high
    assert request_quantile_interval(values, 400, 0.9) is None
