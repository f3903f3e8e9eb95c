"""From several ranks to one record: the worst of each, shares of devices, crowded cores."""

from __future__ import annotations

import numpy as np
import pytest

from harness.config import placement
from harness.config.compose import Composer
from harness.config.validate import validate
from harness.timing import Measurement
from harness.trial import rank_merge
from harness.trial.metrics import RankRun
from workloads.base import Units

MS = 1_000_000


def rank_result(span_ms=100, *, steady=True, flags=(), device="cuda:0", **options) -> rank_merge.RankResult:
    """Make what a rank of ten steps saw."""
    durations = np.full(10, span_ms * MS // 10, np.int64)
    measurement = Measurement(
        warmup_iterations=4, warmup_ns=MS, first_index=5, iterations=10, span_ns=span_ms * MS,
        host_ns=span_ms * MS, durations_ns=durations, group=1, stretches=None, cpu_ns=MS,
        steal_ratio=None, involuntary_switches=0, tick_ns=1, clock="host", steady=steady, drift=not steady,
        marks={}, flags=flags,
    )  # fmt: skip
    cycle = [Units(options.pop("samples", 2), tokens=8, flops=100.0, least_bytes=40.0)]
    run = RankRun(measurement, cycle, {"peak_rss": 7}, device)
    rank_metrics = options.pop("rank_metrics", {"memory.weights": 10.0})
    conditions, output_error = options.pop("conditions", {}), options.pop("output_error", None)
    return rank_merge.RankResult(run, {"threads": 1}, conditions, rank_metrics, output_error, **options)


@pytest.fixture
def config():
    """Compose a configuration of these overrides on the CPU."""
    with Composer([]) as composer:

        def of(*overrides):
            (job,) = composer.jobs(["device=cpu", *overrides])
            return validate(job.config)

        yield of


def test_the_slowest_rank_stands_for_all_with_every_ranks_doubts():
    """One unsteady rank makes the trial unsteady, and each rank's flags count."""
    whole = rank_merge.merged(
        [
            rank_result(100, flags=("grouped",)),
            rank_result(130),
            rank_result(90, steady=False, flags=("drift",)),
        ]
    )
    assert whole.span_ns == 130 * MS
    assert not whole.steady
    assert whole.drift
    assert whole.flags == ("grouped", "drift")


def test_the_compilers_word_is_of_a_rank_that_runs_the_model():
    """A parameter server's model never runs, so nothing was compiled there; any rank's recompiling counts."""
    server = rank_result(samples=0, compiled="not compiled", recompiles_in_span=0)
    workers = [rank_result(compiled="compiled, 1 graph", recompiles_in_span=times) for times in (0, 3)]
    assert rank_merge.compiled([server, *workers]) == {
        "compiled": "compiled, 1 graph",
        "recompiles_in_span": 3,
    }
    assert rank_merge.compiled([rank_result()]) == {"compiled": None, "recompiles_in_span": None}


def test_a_device_slowed_on_any_rank_counts():
    """Rank 0's conditions are the record's, but for the ones that any rank may void the result by."""
    first = rank_result(conditions={"throttled": False, "sm_throttled": None, "clock_mhz": 1980.0})
    second = rank_result(conditions={"throttled": True, "sm_throttled": None, "clock_mhz": 1500.0})
    assert rank_merge.conditions([first, second]) == {
        "throttled": True, "sm_throttled": None, "clock_mhz": 1980.0
    }  # fmt: skip


def test_given_values_are_the_fullest_devices():
    """The slowest build and the largest weights: what a buyer has to have."""
    pair = [
        rank_result(rank_metrics={"memory.weights": 10.0}),
        rank_result(rank_metrics={"memory.weights": 14.0}),
    ]
    assert rank_merge.rank_metrics(pair) == {"memory.weights": 14.0}


@pytest.mark.parametrize(("second", "count"), [("cuda:1", 2), ("cuda:0", 1)])
def test_a_devices_work_is_its_share_of_all(second, count):
    """Two ranks of 1000 FLOPs and 400 bytes, on two devices or on one."""
    ranks = [rank_result(), rank_result(device=second)]
    assert rank_merge.devices(ranks) == count
    work = rank_merge.per_device(ranks)
    assert (work.flops, work.least_bytes) == (2000.0 / count, 800.0 / count)


def test_outputs_that_are_wrong_on_any_rank_are_wrong():
    """The first rank's reason is told."""
    assert rank_merge.output_error([rank_result(), rank_result()]) is None
    assert rank_merge.output_error([rank_result(), rank_result(output_error="not finite")]) == "not finite"


def test_the_record_tells_each_rank_and_how_far_apart_they_were(config, monkeypatch):
    """Skew is the difference of spans over the longest; more ranks than cores is said."""
    monkeypatch.setattr("harness.system.host.usable_cores", lambda: 2)
    pair = [rank_result(100, device="cpu"), rank_result(125, device="cpu")]
    told = rank_merge.evidence(pair, config("parallel=ddp"))
    assert told["rank_skew"] == pytest.approx(0.2)
    assert not told["ranks_beyond_cores"]
    assert [rank["span_ns"] for rank in told["ranks"]] == [100 * MS, 125 * MS]
    assert told["ranks"][1]["units"] == {"samples": 20, "tokens": 80}
    assert rank_merge.evidence([*pair, rank_result(device="cpu")], config("parallel=ddp"))[
        "ranks_beyond_cores"
    ]
    assert rank_merge.evidence(pair[:1], config()) == {}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["parallel=ddp", "parallel.ranks=2"], 4),
        (["parallel=ddp", "parallel.ranks=16"], 1),
        (["parallel=ddp", "parallel.ranks=2", "device.threads=3"], 3),
        ([], None),
    ],
)
def test_ranks_share_the_cores(config, monkeypatch, overrides, expected):
    """Eight cores: each rank has its share, at least one thread, or what was asked for."""
    monkeypatch.setattr("harness.system.host.usable_cores", lambda: 8)
    assert placement.threads(config(*overrides)) == expected


def test_ranks_have_a_device_each_unless_their_strategy_shares_one(config):
    """Devices count up from the trial's index; tasks side by side are all on one."""
    on_cuda = ["device.kind=cuda", "device.index=2", "parallel.ranks=3"]
    assert placement.device_names(config("parallel=ddp", *on_cuda)) == ["cuda-2", "cuda-3", "cuda-4"]
    assert placement.device_names(config("parallel=task", *on_cuda)) == ["cuda-2"]
