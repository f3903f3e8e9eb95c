"""The share of the memory's bound: a known step over a known bandwidth, and reasons where there is none."""

from types import SimpleNamespace

import pytest
import torch

from harness.devices.base import DeviceError
from harness.devices.cpu import SWEEP, CpuDevice
from harness.shim.cpu import routines
from harness.timing import ALONE
from harness.trial.passes.memory_bound import evidence
from workloads import registry
from workloads.base import Units
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.sizes import resolve_size

JOB = SimpleNamespace(units=lambda _turn: Units(1, 1, least_bytes=200e6))
MEASURED = SimpleNamespace(period_ns=20e6)


def test_a_step_at_half_the_memory_s_speed_has_half_a_share():
    """200 MB at 20 GB/s take 10 ms; the step took 20."""
    found = evidence(JOB, SimpleNamespace(read_bandwidth_b_s=lambda: 20e9), MEASURED, ALONE)
    assert found["memory_bound"] == {
        "least_bytes": 200e6,
        "read_b_s": 20e9,
        "bound_s": pytest.approx(0.01),
        "share": pytest.approx(0.5),
    }


def test_no_bandwidth_is_a_reason():
    """As on a device without a sweep, and where ranks share the memory."""

    def none():
        raise DeviceError("no read sweep of this")

    found = evidence(JOB, SimpleNamespace(read_bandwidth_b_s=none), MEASURED, ALONE)
    assert found["memory_bound"] == {"reason": "no read sweep of this", "least_bytes": 200e6}
    found = evidence(JOB, SimpleNamespace(), MEASURED, SimpleNamespace(world=2))
    assert "ranks" in found["memory_bound"]["reason"]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bandwidth_is_that_of_all_the_step_s_threads(monkeypatch, threads):
    """Each thread sweeps an array of its own; the fastest of three sweeps took 2 s."""
    asked = []

    def sweep(kernel, n, cpus, reps):
        asked.append((kernel, len(cpus), reps))
        return SimpleNamespace(wall_ns=(3_000_000_000, 2_000_000_000, 2_500_000_000), cpu_ns=(1, 1, 1))

    monkeypatch.setattr(routines, "run", sweep)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert CpuDevice(0, threads=threads).read_bandwidth_b_s() == threads * 8 * SWEEP / 2.0
    assert asked == [("sum", threads, 3)]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_reads_every_weight_once_and_each_sequence_its_own_cache(batch):
    """In fp32 at a tiny shape, of the positions' table one row; a step of known length has that share."""
    kind = registry.get("gpt")
    size = resolve_size(kind.spec, "tiny", {"batch": batch, "prompt": 9, "layers": 2})
    job = prepare(kind("decode", size), Setup())
    hidden, vocab = 128, 256
    block = 12 * hidden**2 + 13 * hidden  # four layers with their biases, and two norms
    weights = 4 * (vocab * hidden + hidden + 2 * block + 2 * hidden)
    cache = 4 * 2 * 2 * (9 + 1) * hidden  # keys and values of two layers
    least = weights + batch * (cache + 8)
    assert job.units(0).least_bytes == least
    found = evidence(job, SimpleNamespace(read_bandwidth_b_s=lambda: 1e9), MEASURED, ALONE)["memory_bound"]
    assert found["share"] == pytest.approx(least / 1e9 / 0.02)


def test_the_cpu_reads_at_some_speed():
    """Between a tape's and a register's."""
    try:
        found = CpuDevice(0, threads=1).read_bandwidth_b_s()
    except DeviceError as error:
        pytest.skip(str(error))
    assert 1e7 < found < 1e13
