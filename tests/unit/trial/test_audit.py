"""What a replica keeps for an audit gives its metrics again, to the last digit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.config.models import Config
from harness.devices.base import Peak
from harness.energy.sensors.none import NullMeter
from harness.energy.windows import Window
from harness.records.loop import LOOP, read_loops, write_loop
from harness.timing import Measurement
from harness.timing.loop import Stretches
from harness.trial.audit import evidence, keep_series, replayed, short_series
from harness.trial.metrics import EnergyUse, RankRun, summarise
from workloads.base import Units

CONFIG = Config.model_validate({"workload": {"name": "gpt"}, "device": {"kind": "cpu"}})


def _run(span_ns: int, durations: list[int], scale: int = 1) -> RankRun:
    durations_ns = np.array(durations, np.int64) * scale
    edges = np.concatenate([[0], np.cumsum(durations_ns)])
    counts = np.arange(len(edges), dtype=np.int64)
    measurement = Measurement(
        warmup_iterations=3, warmup_ns=7, first_index=4, iterations=len(durations), span_ns=span_ns,
        host_ns=int(durations_ns.sum()), durations_ns=durations_ns, group=1,
        stretches=Stretches(counts, edges, edges, np.zeros_like(edges)), cpu_ns=span_ns, steal_ratio=None,
        involuntary_switches=0, tick_ns=1, clock="host", steady=True, drift=False,
        marks={"first_token": durations_ns // 3}, flags=(),
        warmup_windows=((10.0, 11.0, 12.0), (10.0, 11.0, 12.5)),
    )  # fmt: skip
    cycle = [Units(3, 50, flops=1e9), Units(2, 40, flops=0.8e9)]
    return RankRun(measurement, cycle, {"peak_allocated": 5, "peak_reserved": None, "peak_rss": 9})


@pytest.mark.parametrize("ranks", [1, 2])
def test_what_is_kept_gives_the_metrics_again(tmp_path: Path, ranks: int) -> None:
    """Rates, percentiles, marks, the clean mean, memory, energy and losses, through JSON and Parquet."""
    random = np.random.default_rng(0)
    runs = [_run(10**9 * (i + 1), random.integers(900, 1100, 60).tolist(), 10**6) for i in range(ranks)]
    losses = [2.0, 1.0, float("nan"), 0.1 + 0.2]
    known = {
        "peak": Peak(1e12, "a sheet"), "ceiling": Peak(None, reason="not measured"), "single_threaded": True,
        "energy": EnergyUse(12.5, 0.1, 30.0, 4.0), "output_tokens": 8, "rank_metrics": {"time.build": 0.25},
    }  # fmt: skip
    with Window([NullMeter("0", "no sensor")], None, None) as window:
        pass
    facts = json.loads(json.dumps(evidence(runs, window=window.result, **known)["audit"]))
    keep_series(runs, losses, str(tmp_path))
    ((_, series),) = read_loops([("x", (tmp_path / LOOP).read_bytes())])
    made = replayed(facts, series, CONFIG)
    assert made.metrics == summarise(runs, losses=losses, **known)
    assert len(made.metrics) > 20
    assert (made.timing["drift"], made.timing["steady"], made.timing["iterations"]) == (False, True, 60)
    assert made.timing["durations_ns"] == made.slowest.host_ns == runs[-1].measurement.host_ns
    assert made.series == short_series(runs[-1].measurement, losses, serves=False)


def test_many_loops_are_read_at_once_and_a_bad_one_alone_is_left_out(tmp_path: Path) -> None:
    """A file that is no Parquet hides none of the others."""
    write_loop({"duration_ns": np.arange(5), "loss": np.array([0.5, np.nan])}, tmp_path)
    good = (tmp_path / LOOP).read_bytes()
    found = dict(read_loops([("a", good), ("b", b"no parquet"), ("c", good)]))
    assert found["b"] is None
    assert found["a"]["duration_ns"].tolist() == found["c"]["duration_ns"].tolist() == [0, 1, 2, 3, 4]
    assert found["a"]["loss"].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    "damage", [{"version": 1}, {"ranks": []}, {"ranks": [{}]}, {"ranks": 3}, {"peak": 1}]
)
def test_what_is_not_whole_is_one_line(damage: dict) -> None:
    """No part of a stranger's facts is trusted to be there."""
    facts = {"ranks": [], **damage}
    with pytest.raises(ValueError, match=r"."):
        replayed(facts, {}, CONFIG)
