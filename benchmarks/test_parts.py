"""What parts of the harness cost, measured by its own pytest plugin: `make bench-parts`.

docs/pytest.md shows how two commits are compared by it.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from harness.gate.series import Night, baseline
from harness.pytest_plugin.fixture import DeviceBenchmark
from harness.records.codec import parse, serialise
from harness.records.estimates import trial_results
from harness.records.metrics import make
from harness.records.schema import Record, WorkerFacts
from harness.stats import compare, interval, quantile, screen


def _record(replica: int) -> Record:
    values = random.Random(replica)
    return Record(
        sweep="parts",
        label="gpt tiny train fp32",
        work_id="a" * 64,
        trial_id="a" * 64,
        machine_id="a" * 64,
        code_id="a" * 64,
        replica=replica,
        attempt=0,
        status="ok",
        phase="done",
        started_at="2026-01-01T00:00:00Z",
        config={"measure": {"replicas": 6}},
        machine={},
        code={},
        worker=WorkerFacts(kind="warm"),
        metrics=(make("iteration.mean", values.gauss(1, 0.01)), make("throughput.tokens", 100.0)),
        series={"iteration_s": tuple(values.random() for _ in range(200))},
    )


@pytest.mark.benchmark(group="records")
def test_serialise(device_benchmark: DeviceBenchmark) -> None:
    """A record to bytes."""
    device_benchmark(serialise, _record(0), items=1)


@pytest.mark.benchmark(group="records")
def test_parse(device_benchmark: DeviceBenchmark) -> None:
    """Bytes to a record, with every check."""
    device_benchmark(parse, serialise(_record(0)), items=1)


@pytest.mark.benchmark(group="records")
@pytest.mark.parametrize("replicas", [6, 30])
def test_derive(device_benchmark: DeviceBenchmark, replicas: int) -> None:
    """A trial's results from its replicas."""
    device_benchmark(trial_results, [_record(i) for i in range(replicas)], items=replicas)


@pytest.mark.benchmark(group="statistics")
def test_interval(device_benchmark: DeviceBenchmark) -> None:
    """An interval over thirty processes."""
    device_benchmark(interval, np.exp(np.random.default_rng(0).normal(0, 0.01, 30)))


@pytest.mark.benchmark(group="statistics")
def test_quantile(device_benchmark: DeviceBenchmark) -> None:
    """p99 of ten thousand iterations, with its effective samples."""
    device_benchmark(quantile, np.random.default_rng(0).gamma(9, 1, 10_000), 0.99, items=10_000)


@pytest.mark.benchmark(group="statistics")
def test_compare(device_benchmark: DeviceBenchmark) -> None:
    """A verdict on twenty-four pairs."""
    rng = np.random.default_rng(0)
    device_benchmark(compare, np.exp(rng.normal(0, 0.01, 24)), np.exp(rng.normal(0, 0.01, 24)))


@pytest.mark.benchmark(group="statistics")
def test_screen(device_benchmark: DeviceBenchmark) -> None:
    """A night against ninety others, brought to one level."""
    rng = np.random.default_rng(0)
    nights = [Night(str(i), float(v), "no_regression") for i, v in enumerate(np.exp(rng.normal(0, 0.01, 90)))]
    device_benchmark(lambda: screen(baseline(nights), 1.0, floor=0.003))


@pytest.mark.benchmark(group="loop")
@pytest.mark.joulemark(workload="noop", device="cpu")
def test_an_iteration_that_does_nothing(device_benchmark: DeviceBenchmark) -> None:
    """What the measured loop costs beside the work, in a process of its own."""
    assert device_benchmark.value("iteration.mean") > 0


@pytest.mark.benchmark(group="loop")
@pytest.mark.joulemark(workload="mlp", device="cpu", overrides=["device.threads=1"])
@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=pytest.mark.joulemark(mode=mode)) for mode in ("train", "infer")]
)
def test_a_small_model(device_benchmark: DeviceBenchmark, mode: str) -> None:
    """The smallest model of the catalogue, from whose level the loop's own cost is told."""
    assert device_benchmark.records[0].config["workload"]["mode"] == mode
