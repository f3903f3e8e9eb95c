"""MLPerf's own figures, and ours beside LoadGen's percentiles."""

import pytest

from harness.serving.loadgen_log import Judged, Log
from harness.serving.loadgen_metrics import held_together, mlperf_metrics, published
from harness.serving.requests import ServedRequest

GOOD = Judged(True, ())
ESTIMATES = (
    " * Processed at least 64 queries (64).  * Would discard 0 highest latency queries.  * Early stopping "
    "90.0th percentile estimate: {}  * Not enough queries processed for 99.0th percentile"
)


def requests():
    """Ten of two tokens: the first after 1 to 10 ms, the second 1 ms later."""
    return [
        ServedRequest(i, 0, (i + 2) * 10**6, "answered", ((i + 1) * 10**6, (i + 2) * 10**6), 2)
        for i in range(10)
    ]


def test_rates_are_those_of_the_log():
    """Offline and Server publish samples and tokens."""
    log = Log({"result_completed_samples_per_sec": 26.1, "result_completed_tokens_per_second": 418.6})
    assert published(log, "server", 0.9, GOOD).values == {"mlperf.samples": 26.1, "mlperf.tokens": 418.6}
    log = Log({"result_samples_per_second": 63.7, "result_tokens_per_second": 1019.8})
    assert published(log, "offline", 0.9, GOOD).values == {"mlperf.samples": 63.7, "mlperf.tokens": 1019.8}


def test_single_stream_estimates_tokens():
    """Its `early_stopping_latency_ss` is the first token's too, so that a whole answer has no estimate."""
    log = Log(
        {
            "early_stopping_ttft_result": ESTIMATES.format(33_000_000),
            "early_stopping_tpot_result": ESTIMATES.format(10_000_000),
            "early_stopping_latency_ss": 33_000_000,
        }
    )
    assert published(log, "single_stream", 0.9, GOOD).values == {"mlperf.ttft": 0.033, "mlperf.tpot": 0.01}
    found = published(log, "single_stream", 0.99, GOOD)
    assert not found.values
    assert "no estimate at the 99% quantile" in found.reasons["mlperf.ttft"]


def test_multi_stream_estimates_queries_alone():
    """What it calls the time per output token is the whole query's."""
    log = Log(
        {
            "early_stopping_latency_ms": 443_000_000,
            "early_stopping_ttft_result": ESTIMATES.format(443_000_000),
            "early_stopping_tpot_result": ESTIMATES.format(443_000_000),
        }
    )
    assert published(log, "multi_stream", 0.9, GOOD).values == {"mlperf.query": 0.443}


def test_what_does_not_hold_has_a_reason():
    """A verdict against the run, a figure that is void, and one that no run can have."""
    log = Log({"result_completed_samples_per_sec": 26.1, "result_completed_tokens_per_second": 0.0})
    found = published(log, "server", 0.9, Judged(False, ("LoadGen says INVALID: early_stopping_met",)))
    assert not found.values
    assert found.reasons["mlperf.samples"] == "LoadGen says INVALID: early_stopping_met"
    found = published(log, "server", 0.9, Judged(True, (), {"tokens": "answers of one token"}))
    assert (found.values, found.reasons) == (
        {"mlperf.samples": 26.1},
        {"mlperf.tokens": "answers of one token"},
    )
    assert "cannot be" in published(log, "server", 0.9, GOOD).reasons["mlperf.tokens"]
    metrics = {one.id: one for one in mlperf_metrics(found, 9)}
    assert (metrics["mlperf.samples"].value, metrics["mlperf.samples"].n) == (26.1, 9)
    assert metrics["mlperf.tokens"].reason == "answers of one token"


@pytest.mark.parametrize(
    ("theirs_ns", "apart"), [(10_000_000, []), (10_099_000, []), (10_120_000, ["latency.ttft.p90"])]
)
def test_percentiles_agree_within_one_percent_or_fifty_microseconds(theirs_ns, apart):
    """By LoadGen's place in the order: of ten values the 90th percentile is the last."""
    log = Log({"result_first_token_90.00_percentile_latency_ns": theirs_ns})
    pairs, found = held_together(log, requests(), GOOD)
    assert pairs == {"latency.ttft.p90": [0.010, theirs_ns / 1e9]}
    assert found == apart


def test_fifty_microseconds_of_a_short_latency_are_no_disagreement():
    """The larger of the two."""
    log = Log({"result_time_per_output_token_50.00_percentile_ns": 1_049_000})
    assert held_together(log, requests(), GOOD)[1] == []


def test_what_is_void_is_held_against_nothing():
    """Zeros of LoadGen's."""
    log = Log({"result_time_per_output_token_50.00_percentile_ns": 0})
    assert held_together(log, requests(), Judged(True, (), {"tpot": "never told"})) == ({}, [])
