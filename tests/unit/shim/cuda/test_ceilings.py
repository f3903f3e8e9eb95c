"""A CUDA device's ceilings and the instrument's checks on it, over a shim whose answers are known."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from harness.qualify import cuda
from harness.shim.cuda import ceilings
from harness.shim.cuda.clock import EmptyLaunch, Spin
from harness.shim.cuda.memory import FlushProof, Latency
from harness.shim.cuda.session import Rate
from harness.shim.cuda.stamps import SmClock
from harness.shim.errors import ArchitectureError


class Scripted:
    """A device at 1.5 GHz whose every figure is told; spins are off by `error_ns`."""

    multiprocessors = 2

    def __init__(self, *, error_ns=0.0, residual_ns=0.0, cold_ns=500.0):
        self.error_ns, self.residual_ns, self.cold_ns = error_ns, residual_ns, cold_ns
        self.context = nullcontext()
        self.context.index = 0
        self.context.memory = lambda *_: nullcontext((0,))

    def bandwidth(self, kind):
        """A kilobyte in 10, 20 and 40 ns."""
        return Rate(kind, 5e10, "B/s", 1000.0, (20.0, 10.0, 40.0), f"{kind}_sweep", 1.5e9)

    def arithmetic_kinds(self):
        """One of each sort, and one that turns out to be missing."""
        return ("fp32", "int32", "bf16", "fp8")

    def arithmetic(self, kind):
        """A thousand operations in 10 ns."""
        if kind == "fp8":
            raise ArchitectureError("sm_80 has no fp8 by mma.sync")
        unit = "op/s" if kind == "int32" else "FLOP/s"
        return Rate(kind, 1e11, unit, 1000.0, (10.0,), "kernel")

    def latency(self, kind):
        """Every level takes 300 ns."""
        return Latency(kind, 300.0)

    def tick_ns(self):
        """As on some devices."""
        return 32

    def empty_launch_ns(self):
        """The host needs 1800 ns."""
        return EmptyLaunch(1800.0, 1200.0, self.residual_ns)

    def spin(self, duration_ns, *, clock):
        """Off by what the test says."""
        return Spin(duration_ns, duration_ns, duration_ns + self.error_ns)

    def flush_proof(self):
        """Memory takes 500 ns, the cache 200 ns."""
        return FlushProof(200.0, self.cold_ns, 500.0)

    def sm_clock(self):
        """Both SMs run at 1.5 GHz."""
        return SmClock({0: 1.5e9, 1: 1.5e9}, 1e6)

    def clocked(self, enqueue):
        """The clock while that runs."""
        enqueue()
        return self.sm_clock()

    def function(self, _name):
        """A kernel that does nothing."""
        return SimpleNamespace(launch=lambda *_, **__: lambda: None)


def test_the_ceiling_is_the_best_repeat_and_the_median_stands_beside_it():
    """A kilobyte in 10 ns at best: 100 GB/s, with the shim's own figure as median."""
    found = {c.id: c for c in ceilings.of(Scripted())}
    read = found["bandwidth.read"]
    assert (read.value, read.median, read.n) == (pytest.approx(1e11), 5e10, 3)
    assert read.method == "kernel read_sweep, at 1500 MHz"


def test_every_ceiling_has_its_place():
    """Each has its unit, whole numbers stand apart, and what is missing says why."""
    found = {c.id: c for c in ceilings.of(Scripted())}
    assert found["flops.fma.fp32"].value == found["flops.matrix.bf16"].value == pytest.approx(1e11)
    assert found["ops.int32"].unit == "op/s"
    assert found["flops.matrix.fp8"].value is None
    assert found["flops.matrix.fp8"].reason == "sm_80 has no fp8 by mma.sync"
    assert found["latency.memory"].value == pytest.approx(300e-9)
    assert found["clock.sm"].value == 1.5e9


def test_a_good_instrument_passes_every_check(monkeypatch):
    """All figures within their limits: every verdict is a pass."""
    monkeypatch.setattr(cuda.clock_agreement, "__defaults__", (None, clocks(1500.0)))
    found = list(cuda.checks(Scripted(), quick=False))
    assert [c.id for c in found] == [
        "timer.tick", "launch.host", "launch.empty", "timer.spin", "cache.flush", "clock.nvml",
    ]  # fmt: skip
    assert {c.status for c in found} == {"pass"}


@pytest.mark.parametrize(
    ("wrong", "failed"),
    [
        ({"error_ns": 150.0}, "timer.spin"),
        ({"residual_ns": -51.0}, "launch.empty"),
        ({"cold_ns": 400.0}, "cache.flush"),
    ],
)
def test_a_bad_instrument_fails_the_check_that_sees_it(monkeypatch, wrong, failed):
    """150 ns at 2 us, a residue of 51 ns, a chase that the flush left in the cache."""
    monkeypatch.setattr(cuda.clock_agreement, "__defaults__", (None, clocks(1500.0)))
    assert [c.id for c in cuda.checks(Scripted(**wrong), quick=True) if c.status == "fail"] == [failed]


def clocks(mhz):
    """NVML's facts of one GPU at this clock."""
    return lambda: {"gpus": [{"clocks_mhz": {"sm": mhz}}]}


@pytest.mark.parametrize(
    ("mhz", "visible", "status"),
    [
        (1500.0, None, "pass"),
        (1475.0, None, "pass"),
        (1440.0, None, "fail"),
        (1500.0, "1", "not available"),
    ],
)
def test_the_clock_is_held_against_nvmls(mhz, visible, status):
    """Within 2 % passes; devices that NVML numbers otherwise cannot be compared."""
    assert cuda.clock_agreement(Scripted(), visible, clocks(mhz)).status == status


def test_without_nvml_the_clock_check_says_so():
    """No GPU in NVML's facts: not available, with the reason."""
    check = cuda.clock_agreement(Scripted(), None, lambda: {"gpus": []})
    assert (check.status, check.reason) == ("not available", "NVML reports no clock of this device")
