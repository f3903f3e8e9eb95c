"""From a scripted workload to published metrics: the whole chain, exact."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.devices.base import Peak
from harness.stats import interval
from harness.timing import TimingSettings, measure_steps
from harness.trial.metrics import EnergyUse, RankRun, summarise
from workloads.base import Units

MS = 1_000_000
SETTINGS = TimingSettings(
    seconds=2.0, min_iterations=3, warmup_s=0.2, warmup_iterations=3, warmup_cap_s=5.0, steady_window_s=0.2
)
BATCHES = (Units(8, tokens=120, flops=6e9), Units(8, tokens=100, flops=5e9), Units(8, tokens=80, flops=4e9))
"""Three batches of 8 sequences with unequal padding."""
LENGTHS_MS = (12, 10, 8)


class Meter:
    """A sensor whose truth is known: 50 W while the window is open."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.joules = 0.0

    def __enter__(self) -> None:
        self.began_ns = self.clock.now_ns()

    def __exit__(self, *_: object) -> None:
        self.joules = 50.0 * (self.clock.now_ns() - self.began_ns) / 1e9


def run(clock, device, *, accumulate=1, slowdown=1):
    """Measure steps of `accumulate` micro-batches, in turn from the three batches."""

    def batches(index):
        return [(index * accumulate + k) % 3 for k in range(accumulate)]

    def step(index, mark):
        for place, batch in enumerate(batches(index)):
            clock.work(LENGTHS_MS[batch] * MS * slowdown)
            if place == 0:
                mark("first_token")

    meter = Meter(clock)
    measured = measure_steps(step, device=device, settings=SETTINGS, clock=clock, window=meter)
    cycle = [sum((BATCHES[b] for b in batches(i)), Units(0)) for i in range(3)]
    return RankRun(measured, cycle, {"peak_rss": 1}), meter.joules


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_one_rank(clock, device, accumulate):
    """Every rate is the truth whatever the accumulation, for any whole or broken number of cycles."""
    rank, joules = run(clock, device, accumulate=accumulate)
    metrics = {
        m.id: m.value for m in summarise([rank], peak=Peak(1e12, "scripted"), energy=EnergyUse(joules))
    }

    first, count = rank.measurement.first_index, rank.measurement.iterations
    batches = [(i * accumulate + k) % 3 for i in range(first, first + count) for k in range(accumulate)]
    span_s = sum(LENGTHS_MS[b] for b in batches) / 1e3
    tokens, flops = sum(BATCHES[b].tokens for b in batches), sum(BATCHES[b].flops for b in batches)
    assert metrics["throughput.samples"] == pytest.approx(8 * len(batches) / span_s, rel=1e-12)
    assert metrics["throughput.tokens"] == pytest.approx(tokens / span_s, rel=1e-12)
    assert metrics["flops.rate"] == pytest.approx(flops / span_s, rel=1e-12)
    assert metrics["mfu"] == pytest.approx(flops / span_s / 1e12, rel=1e-12)
    assert metrics["flops.step"] == pytest.approx(5e9 * accumulate)
    assert metrics["iteration.mean"] == pytest.approx(span_s / count, rel=1e-12)
    assert metrics["power.mean"] == pytest.approx(50.0, rel=1e-12)
    assert metrics["energy.token"] == pytest.approx(50.0 * span_s / tokens, rel=1e-12)
    assert metrics["cpu.time"] == pytest.approx(span_s / count, rel=1e-12)
    assert 2.0 <= span_s < 2.0 + 0.012 * accumulate


def test_two_ranks(clock, device):
    """A rank half as fast sets the span; both ranks' work counts, and energy is that of the trial."""
    quick, joules = run(clock, device)
    slow, more = run(clock, device, slowdown=2)
    slow = replace(slow, device="cuda:1")
    metrics = {
        m.id: m.value
        for m in summarise([quick, slow], peak=Peak(1e12, "scripted"), energy=EnergyUse(joules + more))
    }

    tokens = quick.units.tokens + slow.units.tokens
    flops = quick.units.flops + slow.units.flops
    span_s = slow.measurement.span_ns / 1e9
    assert span_s == pytest.approx(2.0, rel=0.02)
    assert metrics["throughput.tokens"] == pytest.approx(tokens / span_s, rel=1e-12)
    assert metrics["mfu"] == pytest.approx(flops / span_s / 2e12, rel=1e-12)
    assert metrics["energy.token"] == pytest.approx((joules + more) / tokens, rel=1e-12)


def test_percentiles_of_the_scripted_steps(clock, device):
    """The median of equal thirds of 8, 10 and 12 ms is 10, and p90 is 12."""
    rank, _ = run(clock, device)
    metrics = {m.id: m.value for m in summarise([rank], peak=Peak(None), energy=EnergyUse(None))}
    assert metrics["latency.p50"] == pytest.approx(0.010)
    assert metrics["latency.p90"] == pytest.approx(0.012)


def test_the_interval_over_replicas(clock, device):
    """Three replicas at 1, 2 and 4 times the time: the geometric mean, and t2 on the logs around it."""
    means = []
    for slowdown in (1, 2, 4):
        rank, _ = run(clock, device, slowdown=slowdown)
        rank_ms = rank.measurement.span_ns / MS / rank.measurement.iterations
        assert rank_ms == pytest.approx(10 * slowdown, rel=0.02)
        means.append(10.0 * slowdown)
    found = interval(means)
    assert found.estimate == pytest.approx(20.0)
    assert found.high / found.estimate == pytest.approx(2 ** (4.3026527 / 3**0.5))
