"""One contract for devices, held over the CPU, XLA on the CPU, a fake CUDA device and a stand-in TPU.

Each device runs the same work of known length in scripted time: a fence that does not wait, or a clock that
is read before it, gives a wrong number here.
"""

import json
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from harness import timing
from harness.devices import cuda, tpu
from harness.devices.base import DeviceError
from harness.devices.cpu import CpuDevice
from harness.devices.cuda import CudaDevice
from harness.devices.timeline import HostTimeline
from harness.devices.tpu import TpuDevice
from harness.timing.clocks import HostClock
from tests.standins.tpu.lazy import FAULTS, OPERATION_NS, StandIn

pytestmark = pytest.mark.xla

WORK_NS = 20_000_000
SETTINGS = timing.TimingSettings(
    seconds=0.2, warmup_s=0, warmup_iterations=1, warmup_cap_s=0, steady_window_s=0.05
)


class VirtualClock(HostClock):
    """The host's clock, scripted; reading it may let something happen."""

    def __init__(self, now_ns=None):
        super().__init__()
        self.now = 1_000
        self.looked = threading.Event()
        if now_ns is not None:
            self.now_ns = now_ns

    def now_ns(self):
        """Return scripted time, and tell that it was looked at."""
        self.looked.set()
        return self.now


class Cpu:
    """Work is done when its call returns."""

    beyond = 1
    kind = "cpu"

    def __init__(self, monkeypatch):
        self.clock = VirtualClock()
        self.device = CpuDevice(threads=1)
        self.second = None

    def step(self, _index, _mark):
        """Let the time of one step pass."""
        self.clock.now += WORK_NS
        return torch.ones(2)

    def is_done(self):
        """It is, always."""
        return True


class Xla:
    """A callback of 20 ms inside a compiled step: it ends only after the host has looked at its clock."""

    beyond = 1
    kind = "xla"

    def __init__(self, monkeypatch, products=2):
        jax = pytest.importorskip("jax", reason="the extra jax is not installed")
        from harness.devices.jax import XlaDevice

        self.clock, self.done, self.launched = VirtualClock(), 0, 0
        self.device = XlaDevice(threads=2)
        self.device.open()
        shape = jax.ShapeDtypeStruct((512, 512), "float32")

        caller = threading.get_ident()

        def slowly(x):
            # XLA runs a callback within the call that launches it, unless its inputs are not ready yet.
            self.within = threading.get_ident() == caller
            if not self.within:
                self.clock.looked.wait(5)
                time.sleep(0.001)
            self.clock.now += WORK_NS
            self.done += 1
            return x

        late = jax.jit(lambda x: jax.lax.fori_loop(0, products, lambda _, y: y @ x, x))
        self._late = late.lower(shape).compile()
        one = jax.ShapeDtypeStruct((), "float32")
        self._program = jax.jit(lambda x: jax.pure_callback(slowly, one, x[0, 0]) + 1).lower(shape).compile()
        self._input = jax.numpy.zeros((512, 512))
        self.second = None

    def step(self, _index, _mark):
        """Launch one."""
        self.clock.looked.clear()
        self.launched += 1
        return self._program(self._late(self._input))

    def is_done(self):
        """Tell whether every callback has ended."""
        self.clock.looked.set()
        return self.done == self.launched


class FakeCuda:
    """Torch's CUDA calls on a queue in virtual time."""

    beyond = 2
    kind = "cuda"

    def __init__(self, monkeypatch):
        self.clock, self.queue = VirtualClock(), StandIn()
        self.clock.now_ns = self.queue.now_ns
        monkeypatch.setattr(cuda, "torch_build_reason", lambda: None)
        monkeypatch.setattr(cuda, "driver_device_count", lambda _library: 2)
        monkeypatch.setattr(cuda, "_driver_version", lambda: "13.0")
        monkeypatch.setattr(torch.cuda, "set_device", lambda _index: None)
        monkeypatch.setattr(torch.cuda, "synchronize", self._synchronize)
        monkeypatch.setattr(torch, "zeros", lambda *_a, **_k: None)
        monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: FakeEvent(self))
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _index: None)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _index: 7)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _index: 8)
        properties = SimpleNamespace(
            name="NVIDIA H200", uuid="1-2", major=9, minor=0, multi_processor_count=132, total_memory=1 << 37
        )
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: properties)
        self.device, self.second = CudaDevice(0, threads=1), CudaDevice(1)
        self.busy_until = 0

    def _synchronize(self, _index=None):
        self.queue.now = max(self.queue.now, self.busy_until)

    def step(self, _index, _mark):
        """Queue the work of one step."""
        self.busy_until = max(self.busy_until, self.queue.now) + WORK_NS

    def is_done(self):
        """Tell whether the queue is empty."""
        return self.queue.now >= self.busy_until


class FakeEvent:
    """An event on the fake queue."""

    def __init__(self, rig):
        self._rig = rig

    def record(self):
        """It comes when everything queued before it is done."""
        self.at = max(self._rig.busy_until, self._rig.queue.now)

    def elapsed_time(self, end):
        """Return milliseconds."""
        return (end.at - self.at) / 1e6


class Tpu:
    """The lazily executing stand-in; a step is twenty operations on its tensors."""

    beyond = 2
    kind = "tpu"

    def __init__(self, monkeypatch, fault=None):
        self.stand_in = StandIn(fault)
        self.clock = VirtualClock(self.stand_in.now_ns)
        self.stand_in.install(monkeypatch)
        monkeypatch.setattr(tpu, "load_backend", lambda: None)
        monkeypatch.setattr(tpu, "asked", lambda _metric: None)
        monkeypatch.setattr(tpu.pci, "tpu_chips", lambda: ["TPU v5e", "TPU v5e"])
        monkeypatch.setattr(
            tpu.pci, "tpu_reason", lambda index: None if index < 2 else f"no TPU {index}: the PCI bus shows 2"
        )
        monkeypatch.setattr(tpu, "missing_packages", list)
        monkeypatch.setattr(TpuDevice, "now", staticmethod(self.stand_in.now_ns))
        monkeypatch.setenv("TPU_VISIBLE_CHIPS", "")
        monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "")
        self.device, self.second = TpuDevice(0, threads=1), TpuDevice(1)
        self._x = self.stand_in.tensor(torch.ones(4))

    def step(self, _index, _mark):
        """Queue twenty operations of a millisecond; return every output."""
        outputs = []
        x = self._x
        for _ in range(WORK_NS // OPERATION_NS):
            x = x + 1
            outputs.append(x)
        return outputs[::-1][:2][::-1]

    def is_done(self):
        """Tell whether the virtual clock has passed the last operation."""
        return self.stand_in.now >= self.stand_in.busy_until


RIGS = {"cpu": Cpu, "xla-cpu": Xla, "cuda": FakeCuda, "tpu": Tpu}


@pytest.fixture(params=RIGS)
def rig(request, monkeypatch):
    """Return one device with its work, opened."""
    made = RIGS[request.param](monkeypatch)
    made.device.open()
    return made


def nothing(_name):
    """A mark means nothing here."""


def test_it_opens_and_tells_its_facts(rig):
    """Facts are JSON, with a kind and a name; what is untested says so."""
    facts = json.loads(json.dumps(rig.device.facts()))
    assert facts["kind"] == rig.device.kind == rig.kind
    assert facts["name"]
    assert facts["threads"] >= 1
    assert bool(facts.get("untested_on_hardware")) == rig.device.untested
    assert isinstance(rig.device.torch_device, str)


def test_what_is_not_there_is_refused_in_one_line(rig):
    """Index 0 is there, one beyond the last is not."""
    assert type(rig.device).unavailable_reason(0) is None
    reason = type(rig.device).unavailable_reason(rig.beyond)
    assert reason
    assert "\n" not in reason


def test_the_fence_waits_for_every_output(rig):
    """After it nothing is left to do, and the device's own test of its fence agrees."""
    step = rig.device.held(rig.step)
    rig.clock.looked.set()
    step(0, nothing)
    step(1, nothing)
    rig.clock.looked.set()
    rig.device.synchronize()
    assert rig.is_done()


def test_a_fence_that_waits_passes_its_own_test(rig):
    """No device refuses itself when nothing is wrong."""
    real = rig.step

    def ready(index, mark):
        made = real(index, mark)
        rig.clock.looked.set()
        return made

    assert rig.device.fence_problem(rig.device.held(ready)) is None


def test_the_measured_span_is_the_work(rig):
    """Steps of 20 ms: span, period and each duration, to 1 % (a reading of the stand-ins' clock is 10 ns)."""
    found = timing.measure_steps(
        rig.device.held(rig.step), device=rig.device, settings=SETTINGS, clock=rig.clock
    )
    assert found.iterations >= 3
    assert found.period_ns == pytest.approx(WORK_NS, rel=0.01)
    assert found.durations_ns / found.group == pytest.approx(WORK_NS, rel=0.01)
    if rig.kind == "tpu":
        assert found.host_ns < 0.01 * found.span_ns  # launching took nothing; the fence waited
    assert found.host_ns <= found.span_ns


def test_memory_is_bytes_or_unknown(rig):
    """Every device has the same three keys; None is what it does not keep, never 0."""
    rig.device.reset_peak_memory()
    found = rig.device.memory()
    assert {"peak_allocated", "peak_reserved", "peak_rss"} <= set(found)
    assert all(value is None or value > 0 for value in found.values())


def test_a_peak_has_a_source_or_a_reason(rig):
    """A number without a document is no peak."""
    for precision in ("fp32", "bf16", "fp8"):
        peak = rig.device.dense_peak(precision)
        assert (peak.flop_s is None) == (peak.source is None)
        assert (peak.flop_s is None) == (peak.reason is not None)


def test_a_second_device_is_another_one(rig):
    """Where there are several, each has an index of its own; the CPU is one."""
    if rig.second is None:
        assert type(rig.device).unavailable_reason(1) is not None
        return
    assert type(rig.second).unavailable_reason(1) is None
    assert rig.second.torch_device != rig.device.torch_device


def test_a_step_that_dies_leaves_the_device_usable(rig):
    """Its error arrives as it was raised, and the next fence and step work."""

    def dies(_index, _mark):
        raise ZeroDivisionError("in the middle")

    with pytest.raises(ZeroDivisionError, match="in the middle"):
        rig.device.held(dies)(0, nothing)
    rig.device.synchronize()
    rig.device.held(rig.step)(1, nothing)
    rig.clock.looked.set()
    rig.device.synchronize()
    assert rig.is_done()


def test_without_the_fence_a_step_of_xla_seems_to_take_no_time(monkeypatch):
    """The same measurement by a timeline that does not fence: what the fence is for.

    A busy machine may come back to the launch only when the callback's input is ready, and XLA then runs the
    callback within the launch: that is another case, and an input that takes longer is tried.
    """
    for products in (2, 16, 128):
        rig = Xla(monkeypatch, products)
        timeline = HostTimeline(1, rig.clock.now_ns)
        timeline.start()
        outputs = rig.step(0, nothing)
        timeline.stamp()
        rig.device.held(lambda _index, _mark, made=outputs: made)(0, nothing)
        rig.device.synchronize()
        assert rig.is_done()
        if not rig.within:
            break
    assert int(timeline.durations_ns()[0]) < 0.01 * WORK_NS


@pytest.mark.parametrize("fault", FAULTS)
def test_each_historic_fault_of_a_fence_is_refused(monkeypatch, fault):
    """A fence that does nothing, that skips compiled work, or that waits for the first output only."""
    rig = Tpu(monkeypatch, fault)
    rig.device.open()
    problem = rig.device.fence_problem(rig.device.held(rig.step))
    assert problem is not None
    assert problem.startswith("the fence of tpu:0 returns before the outputs are there")


def test_a_tpu_without_libtpu_is_refused_before_torch_loads_it(monkeypatch):
    """The plan says so from the packages alone; torch_tpu itself would end the process."""
    monkeypatch.setattr(tpu.pci, "tpu_reason", lambda _index: None)
    monkeypatch.setattr(tpu, "missing_packages", lambda: ["libtpu"])
    assert TpuDevice.unavailable_reason() == f"libtpu not installed: {tpu.INSTALL}"


def test_a_back_end_that_does_not_load_is_one_line(monkeypatch):
    """Its error becomes a DeviceError."""

    def fails():
        raise RuntimeError("no chip")

    point = SimpleNamespace(value="torch_tpu:_autoload", load=lambda: fails)
    monkeypatch.setattr(tpu, "entry_points", lambda group: [point])
    with pytest.raises(DeviceError, match="torch_tpu does not load: RuntimeError: no chip"):
        tpu.load_backend()


@pytest.mark.parametrize(("values", "throttled"), [(["0", "0"], False), (["0", "3"], True), (None, None)])
def test_the_throttle_score_is_libtpus(monkeypatch, values, throttled):
    """The worst chip counts; no answer says nothing."""
    monkeypatch.setattr(tpu, "asked", lambda metric: values if metric == tpu.THROTTLE else None)
    watch = tpu.ThrottleWatch()
    with watch:
        pass
    assert watch.evidence().get("throttled") is throttled


def test_libtpu_is_asked_with_a_deadline(monkeypatch):
    """Off a TPU machine its monitoring waits for minutes."""
    monkeypatch.setattr(tpu, "DEADLINE_S", 0.05)
    never = threading.Event()
    assert tpu.asked("duty_cycle_pct", lambda _metric: never.wait(60)) is None
    assert tpu.asked("duty_cycle_pct", lambda _metric: ["12.5"]) == ["12.5"]
    never.set()
