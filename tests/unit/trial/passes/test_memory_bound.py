"""The share of the memory's bound: a known step over a known bandwidth, and reasons where there is none."""

from types import SimpleNamespace

import pytest

from harness.devices.base import DeviceError
from harness.devices.cpu import CpuDevice
from harness.timing import ALONE
from harness.trial.passes.memory_bound import evidence
from workloads.base import Units

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


def test_the_cpu_reads_at_some_speed():
    """Between a tape's and a register's."""
    try:
        found = CpuDevice(0, threads=1).read_bandwidth_b_s()
    except DeviceError as error:
        pytest.skip(str(error))
    assert 1e7 < found < 1e13
