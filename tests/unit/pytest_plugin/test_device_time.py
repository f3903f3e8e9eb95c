"""Scripted time through the whole plugin: what pytest-benchmark's JSON says is what the script said."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import pytest

pytest_plugins = ["pytester"]
Run = Callable[..., pytest.RunResult]

# The world of the inner pytest: time moves only when the function under test says so.
_WORLD = """
from contextlib import nullcontext
import pytest
from harness.devices.base import Counters
from harness.devices.cpu import CpuDevice
from harness.devices.timeline import EventTimeline

class Clock:
    now, cpu = 1_000, 0
    def now_ns(self): return self.now
    def cpu_ns(self): return self.cpu
    def involuntary(self): return 0
    def watching(self): return nullcontext()
    def waited_ns(self): return None

CLOCK = Clock()

class Device(CpuDevice):
    def open(self): pass
    def reset_peak_memory(self): pass
    def facts(self): return {"name": "scripted"}
    def counters(self): return Counters(CLOCK.cpu, 0, None, None)

class Event:
    def record(self): self.at = max(Accelerator.done, CLOCK.now)
    def elapsed_time(self, end): return (end.at - self.at) / 1e6

class Accelerator(Device):
    done = 0
    def synchronize(self): CLOCK.now = max(CLOCK.now, Accelerator.done)
    def timeline(self, capacity, now): return EventTimeline(capacity, now, Event)
    def tick_ns(self, now): return 32

@pytest.fixture
def joulemark_clock(): return CLOCK
"""
_ON_HOST = """
@pytest.fixture
def joulemark_device(): return Device()
def work(ns):
    CLOCK.now += ns
    CLOCK.cpu += ns
"""
_ON_STREAM = """
@pytest.fixture
def joulemark_device(): return Accelerator()
def work(ns):
    Accelerator.done = max(Accelerator.done, CLOCK.now) + ns
"""
_TEST = """
from conftest import work
def test_scripted(device_benchmark):
    calls = []
    def step():
        calls.append(None)
        work(3_000_000 + 1_000 * (len(calls) % 7))
        return len(calls)
    assert device_benchmark(step, items=2) == 1
    m = device_benchmark.measurement
    span = sum(3_000_000 + 1_000 * ((m.first_index + i + 1) % 7) for i in range(m.iterations))
    assert abs(device_benchmark.value("throughput.samples") - 2 * m.iterations / span * 1e9) < 1
"""


@pytest.fixture
def run(pytester: pytest.Pytester, run_pytest: Run) -> Callable[..., dict]:
    """Return a function that runs one test and gives its benchmark."""

    def run_test(device: str, test: str = _TEST, *options: str) -> dict:
        pytester.makeconftest(_WORLD + device)
        pytester.makepyfile(test)
        result = run_pytest("-q", "--benchmark-json=out.json", "--joulemark-power=none", *options)
        result.assert_outcomes(passed=1)
        return json.loads((pytester.path / "out.json").read_text())["benchmarks"][0]

    return run_test


@pytest.mark.parametrize(("device", "clock"), [(_ON_HOST, "host"), (_ON_STREAM, "device events")])
def test_statistics_are_the_scripted_times_exactly(run: Callable[..., dict], device: str, clock: str) -> None:
    """Every round is one scripted duration, in order, to the last bit; so are min, max and the total."""
    found = run(device)
    script = [(3_000_000 + 1_000 * k) / 1e9 for k in range(7)]
    data = found["stats"]["data"]
    assert len(data) > 100
    places = [script.index(value) for value in data]
    assert all((b - a) % 7 == 1 for a, b in pairwise(places))
    assert (found["stats"]["min"], found["stats"]["max"]) == (script[0], script[-1])
    assert found["stats"]["total"] == pytest.approx(sum(data), rel=1e-15)
    assert found["stats"]["iterations"] == 1
    assert found["extra_info"]["joulemark"]["clock"] == clock
    assert found["options"]["timer"] == "device_time"


def test_extra_info_holds_validity_intervals_and_what_is_missing(run: Callable[..., dict]) -> None:
    """Energy without a sensor is null with a reason; the interval of one process is labelled."""
    told = run(_ON_HOST)["extra_info"]["joulemark"]
    mean, energy = told["metrics"]["iteration.mean"], told["metrics"]["energy.iteration"]
    assert mean["low"] < mean["value"] < mean["high"]
    assert "within-run only" in mean["reasons"]
    assert (energy["value"], energy["validity"]) == (None, "unavailable")
    assert energy["reasons"]
    assert told["machine"]["host_processor_architecture"]


def test_short_work_is_timed_in_rounds_of_several_samples(run: Callable[..., dict]) -> None:
    """More samples than rounds are kept: a round's time is its mean sample, and none longer is lost."""
    found = run(
        _ON_HOST,
        "from conftest import work\ndef test_short(device_benchmark):\n    device_benchmark(work, 20_000)\n",
    )
    assert found["stats"]["rounds"] <= 1 << 13
    assert found["stats"]["iterations"] > 1
    assert found["stats"]["mean"] == pytest.approx(20e-6, rel=1e-12)


def test_a_test_keeps_its_group_and_parameters(run: Callable[..., dict]) -> None:
    """The virtual timer is added to a benchmark marker, which keeps the rest."""
    found = run(
        _ON_HOST,
        """
import pytest
from conftest import work
@pytest.mark.benchmark(group="mine", min_rounds=3)
@pytest.mark.parametrize("ns", [5_000_000])
def test_grouped(device_benchmark, ns):
    device_benchmark(work, ns)
""",
    )
    assert (found["group"], found["params"]) == ("mine", {"ns": 5_000_000})
    assert found["stats"]["median"] == 0.005
