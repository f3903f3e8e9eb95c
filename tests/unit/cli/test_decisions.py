"""Which configurations may be the best, and so are drawn against each other."""

from __future__ import annotations

from types import SimpleNamespace

from harness.cli.decisions import _contenders

RATE, LATENCY = "throughput.tokens", "latency.p90"


def result(rate, latency, *, half=0.05):
    """A result with an interval of a relative half-width."""

    def estimate(value):
        return SimpleNamespace(value=value, low=value * (1 - half), high=value * (1 + half), validity="valid")

    return SimpleNamespace(estimates={RATE: estimate(rate), LATENCY: estimate(latency)}, rate=rate)


def test_what_lies_wholly_below_the_best_is_no_contender():
    """What its interval reaches is one; so is what is faster and breaks a limit, which it may truly keep."""
    members = [result(rate, latency) for rate, latency in ((100, 2), (80, 1), (74, 1), (60, 1), (10, 1))]
    assert [r.rate for r in _contenders(members, RATE, {LATENCY: 1.5})] == [100, 80, 74]
    assert [r.rate for r in _contenders(members, RATE, {})] == [100]


def test_where_none_keeps_the_limits_all_are_contenders():
    """Nobody can be the best, and the answer says what is nearest."""
    members = [result(rate, 2) for rate in (10, 30, 20)]
    assert [r.rate for r in _contenders(members, RATE, {LATENCY: 0.1})] == [30, 20, 10]
