"""A replica's metrics from hand-made measurements: every value is worked out beside it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.devices.base import Peak
from harness.records.metrics import METRICS
from harness.timing import Measurement
from harness.timing.loop import Stretches
from harness.trial.metrics import EnergyUse, RankRun, span_units, summarise
from workloads.base import Units

MS = 1_000_000
NO_ENERGY = EnergyUse(None, reason="no sensor here")
NO_PEAK = Peak(None, reason="no peak is known")
CPU_MEMORY = {"peak_allocated": None, "peak_reserved": None, "peak_rss": 1000}


def measured(durations_ms, *, first_index=0, clean=None, marks=None, group=1, clock="host") -> Measurement:
    """Make the measurement of these durations, each a chunk, with `clean` marking the undisturbed ones."""
    durations = np.array(durations_ms, np.int64) * MS
    switches = np.zeros(len(durations)) if clean is None else ~np.array(clean)
    edges = np.append(0, np.cumsum(durations))
    seen = np.append(0, np.cumsum(switches)).astype(np.int64)
    stretches = Stretches(group * np.arange(len(edges)), edges, edges, seen)
    return Measurement(
        warmup_iterations=4, warmup_ns=250 * MS, first_index=first_index, iterations=len(durations) * group,
        span_ns=int(durations.sum()), host_ns=int(durations.sum()), durations_ns=durations, group=group,
        stretches=stretches if clock == "host" else None, cpu_ns=int(durations.sum()) // 2,
        steal_ratio=0.0, involuntary_switches=0, tick_ns=1, clock=clock, steady=True, drift=False,
        marks=marks or {}, flags=(),
    )  # fmt: skip


def summary(*ranks, **options):
    """Return the metrics by id; a device without peak and energy unless set otherwise."""
    options = {"peak": NO_PEAK, "energy": NO_ENERGY, **options}
    return {metric.id: metric for metric in summarise(ranks, **options)}


def rank(measurement, *cycle, memory=CPU_MEMORY) -> RankRun:
    """Make one rank's run over a cycle of units."""
    return RankRun(measurement, cycle or (Units(1),), memory)


def test_throughput_is_total_work_over_total_time():
    """Uneven steps: 10, 20 and 30 ms of 8 samples are 24 samples in 60 ms, not the mean of three rates."""
    found = summary(rank(measured([10, 20, 30]), Units(8)))
    assert found["throughput.samples"].value == pytest.approx(400.0)
    assert found["throughput.samples"].n == 3
    assert found["iteration.mean"].value == pytest.approx(0.020)


def test_padding_is_not_counted():
    """Two batches of 4 x 16 with 50 and 30 real tokens alternate: five steps hold 190 tokens."""
    cycle = (Units(4, tokens=50), Units(4, tokens=30))
    found = summary(rank(measured([10] * 5, first_index=7), *cycle))
    assert found["throughput.tokens"].value == pytest.approx((30 + 50 + 30 + 50 + 30) / 0.05)
    assert found["throughput.samples"].value == pytest.approx(20 / 0.05)


def test_accumulated_micro_batches_are_one_step():
    """A step of four micro-batches counts the work of all four, once."""
    micro = Units(2, tokens=64, flops=1e9)
    step = micro + micro + micro + micro
    found = summary(rank(measured([100] * 10), step))
    assert found["throughput.samples"].value == pytest.approx(80)
    assert found["throughput.tokens"].value == pytest.approx(2560)
    assert found["flops.rate"].value == pytest.approx(40e9)
    assert found["flops.step"].value == 4e9


def test_ranks_add_their_work_over_the_slowest_span():
    """Two ranks of 10 steps: 8 and 6 samples per step, spans 1 s and 1.25 s: 140 samples in 1.25 s."""
    fast, slow = rank(measured([100] * 10), Units(8)), rank(measured([125] * 10), Units(6))
    found = summary(fast, slow)
    assert found["throughput.samples"].value == pytest.approx(140 / 1.25)
    assert found["iteration.mean"].value == pytest.approx(0.125)
    assert found["latency.p50"].value == pytest.approx(0.125)
    assert found["cpu.time"].value == pytest.approx((0.5 + 0.625) / 10)


def test_mfu_is_against_all_devices():
    """Two ranks of 3 TFLOP a 100 ms step against 100 TFLOP/s each: 60 of 200, or of 100 on one device."""
    one = rank(measured([100] * 10), Units(1, flops=3e12))
    found = summary(one, replace(one, device="cuda:1"), peak=Peak(100e12, "a datasheet"))
    assert found["flops.rate"].value == pytest.approx(60e12)
    assert found["mfu"].value == pytest.approx(0.3)
    assert summary(one, one, peak=Peak(100e12, "a datasheet"))["mfu"].value == pytest.approx(0.6)


def test_without_a_peak_or_flops_the_reason_stands_in():
    """An unknown device has no MFU, work without FLOPs has no rate, and neither is 0."""
    found = summary(rank(measured([10] * 3), Units(1, flops=1.0)))
    assert (found["mfu"].value, found["mfu"].reason) == (None, "no peak is known")
    found = summary(rank(measured([10] * 3)), peak=Peak(1e12, "a datasheet"))
    assert found["flops.rate"].value is None
    assert found["mfu"].reason == "the workload counts no model FLOPs"


def test_energy_is_divided_by_the_same_work():
    """120 J over 60 steps of 0.1 s, 4 samples and 100 tokens: 2 J a step, 0.5 a sample, 20 W."""
    use = EnergyUse(120.0, u_joules=6.0, peak_w=31.0, idle_w=9.0)
    found = summary(rank(measured([100] * 60), Units(4, tokens=100)), energy=use)
    values = {key: found[key].value for key in found if key.startswith(("energy", "power", "efficiency"))}
    assert values == pytest.approx({
        "energy.iteration": 2.0, "energy.iteration.uncertainty": 0.1, "energy.sample": 0.5,
        "energy.token": 0.02, "efficiency.samples": 2.0, "efficiency.tokens": 50.0,
        "power.mean": 20.0, "power.peak": 31.0, "power.idle": 9.0,
    })  # fmt: skip


def test_missing_energy_is_unavailable_with_the_reason():
    """No sensor: every energy and power metric is there, without a value and with the reason."""
    found = summary(rank(measured([10] * 3)))
    for metric_id in ("energy.iteration", "energy.sample", "power.mean", "power.peak", "power.idle"):
        assert found[metric_id].value is None
        assert found[metric_id].reason == "no sensor here"


def test_percentiles_need_their_effective_samples():
    """400 independent durations carry p90 and p99; 100 carry p90 only; 9 the median only."""
    durations = np.random.default_rng(0).permutation(np.arange(1, 401))
    found = summary(rank(measured(durations)))
    assert found["latency.p50"].value == pytest.approx(0.2005)
    assert found["latency.p90"].value == pytest.approx(0.3601)
    assert found["latency.p99"].value == pytest.approx(0.39601)
    found = summary(rank(measured(durations[:100])))
    assert found["latency.p90"].value is not None
    assert found["latency.p99"].reason.endswith("368 needed")
    found = summary(rank(measured(durations[:9])))
    assert found["latency.p50"].value == pytest.approx(np.median(durations[:9]) / 1e3)
    assert found["latency.p90"].value is None


def test_grouped_iterations_have_no_percentiles():
    """The quantile of group means is not a latency."""
    found = summary(rank(measured([10] * 50, group=4)))
    assert found["latency.p50"].reason == "iterations are so short that 4 at a time were timed"
    assert found["iteration.mean"].value == pytest.approx(0.0025)


def test_first_token_and_tokens_after_it():
    """First of 11 tokens after 30 of 110 ms: 8 ms for each later one; unmarked steps do not count."""
    first = np.array([30 * MS, -1, 30 * MS], np.int64)
    found = summary(rank(measured([110, 500, 110], marks={"first_token": first})), output_tokens=11)
    assert found["latency.ttft"].value == pytest.approx(0.030)
    assert found["latency.ttft"].n == 2
    assert found["latency.tpot"].value == pytest.approx(0.008)


def test_one_generated_token_has_no_time_per_later_token():
    """A division by no tokens is unavailable, not infinite; work without a first token has neither metric."""
    marks = {"first_token": np.array([5 * MS] * 3, np.int64)}
    found = summary(rank(measured([10] * 3, marks=marks)), output_tokens=1)
    assert found["latency.tpot"].value is None
    assert "latency.ttft" not in summary(rank(measured([10] * 3)))


def test_the_clean_mean_leaves_out_disturbed_iterations():
    """Iterations of 10 ms with one disturbed to 50: 10 ms clean, 18 ms raw."""
    run = rank(measured([10, 10, 50, 10, 10], clean=[True, True, False, True, True]))
    found = summary(run, single_threaded=True)
    assert found["iteration.mean.clean"].value == pytest.approx(0.010)
    assert found["iteration.mean.clean"].n == 4
    assert found["iteration.mean"].value == pytest.approx(0.018)


def test_the_clean_mean_needs_single_threads_and_a_fifth_clean():
    """Many threads, or one clean iteration in ten, leave it unavailable; a device's events leave it out."""
    assert summary(rank(measured([10] * 3)))["iteration.mean.clean"].value is None
    found = summary(rank(measured([10] * 10, clean=[True] + [False] * 9)), single_threaded=True)
    assert found["iteration.mean.clean"].reason == "10% of iterations are undisturbed; 20% needed"
    assert "iteration.mean.clean" not in summary(rank(measured([10] * 3, clock="device events")))


def test_memory_is_the_largest_rank():
    """Peaks are the largest of any rank; a peak that a rank lacks is unavailable."""
    gpu = {"peak_allocated": 5, "peak_reserved": 8, "peak_rss": 3}
    run = measured([10] * 3)
    found = summary(rank(run, memory=gpu), rank(run, memory={**gpu, "peak_allocated": 7}))
    assert found["memory.peak_allocated"].value == 7
    found = summary(rank(run, memory=gpu), rank(run))
    assert found["memory.peak_allocated"].value is None
    assert found["memory.peak_rss"].value == 1000


def test_losses_are_the_first_and_the_last_tenth():
    """Of 20 losses, the first, and the mean of the last two; one that is not finite is unavailable."""
    found = summary(rank(measured([10] * 3)), losses=[9.0, *[5.0] * 17, 4.0, 2.0])
    assert found["loss.first"].value == 9.0
    assert found["loss.last"].value == 3.0
    found = summary(rank(measured([10] * 3)), losses=[9.0, math.nan])
    assert found["loss.last"].reason == "the loss is not finite"
    assert "loss.first" not in summary(rank(measured([10] * 3)))


def test_given_values_stand_in_the_tables_order():
    """What the trial knows already is passed on, and all metrics come in the table's order, each once."""
    metrics = summarise(
        [rank(measured([10] * 3), Units(1, tokens=2, requests=1, flops=1.0))],
        peak=NO_PEAK, energy=NO_ENERGY, rank_metrics={"time.build": 1.5, "memory.weights": 64},
    )  # fmt: skip
    ids = [metric.id for metric in metrics]
    assert ids == [metric_id for metric_id in METRICS if metric_id in ids]
    assert next(m for m in metrics if m.id == "time.build").value == 1.5
    assert next(m for m in metrics if m.id == "time.warmup").value == 0.25
    with pytest.raises(KeyError):
        summary(rank(measured([10])), rank_metrics={"no.such.metric": 1.0})


def test_no_rank_and_no_iteration_are_errors():
    """Nothing measured is refused, not summarised as zeros."""
    with pytest.raises(ValueError, match="at least one rank"):
        summary()
    with pytest.raises(ValueError, match="at least one iteration"):
        summary(rank(measured([])))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 20), st.integers(0, 30))
def test_work_of_a_span_is_the_sum_of_its_steps(tokens, first, count):
    """Counting by turns of the cycle equals adding step by step, wherever the span begins."""
    cycle = [Units(1, tokens=n) for n in tokens]
    total = span_units(cycle, first, count)
    assert total.samples == count
    assert total.tokens == sum(tokens[i % len(tokens)] for i in range(first, first + count))
