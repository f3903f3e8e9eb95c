"""The CPU device, opened in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness.devices.cpu import CpuDevice

OPEN = """
import json
from harness.devices.cpu import CpuDevice
device = CpuDevice(threads=2)
device.open()
device.open()  # again changes nothing
device.reset_peak_memory()
before, _ = device.counters(), sum(range(300_000))
after = device.counters()
cpu_ns = after.cpu_ns - before.cpu_ns
print(json.dumps({"facts": device.facts(), "memory": device.memory(), "cpu_ns": cpu_ns}))
"""


@pytest.fixture(scope="module")
def opened() -> dict:
    """Return what a fresh process saw of the CPU."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def test_threads_are_set_and_recorded(opened):
    """Two threads within an operation were asked for, and one between operations always holds."""
    assert opened["facts"]["threads"] == 2
    assert opened["facts"]["interop_threads"] == 1
    assert opened["facts"]["logical_cpus"] >= opened["facts"]["physical_cores"] >= 1


def test_memory_has_only_what_the_cpu_knows(opened):
    """Resident memory is known; allocator peaks are None, not 0."""
    assert opened["memory"]["peak_allocated"] is None
    assert opened["memory"]["peak_reserved"] is None
    assert opened["memory"]["peak_rss"] > 50 << 20
    assert opened["facts"]["peak_rss_since"] in {"reset", "process start"}


def test_counters_grow_with_work(opened):
    """CPU time of the process passes while it works."""
    assert opened["cpu_ns"] > 0


def test_the_cpu_is_one_device():
    """Index 0 is always there and no other is."""
    assert CpuDevice.unavailable_reason() is None
    assert CpuDevice.unavailable_reason(1) == "no device cpu:1: the CPU is one device, index 0"


def test_the_cpu_has_no_peak_but_a_reason():
    """No vendor peak is invented for a CPU."""
    peak = CpuDevice().dense_peak("fp32")
    assert peak.flop_s is None
    assert "CPU" in peak.reason
