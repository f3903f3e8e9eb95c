"""The gated and the cold pass on the stand-in: what is timed, what is refused."""

from __future__ import annotations

import time

import pytest

from harness.devices.cuda_passes import behind_the_gate, cold, gated
from harness.shim.cuda.memory import FlushProof, Memory
from harness.shim.cuda.session import CudaSession

MS = 1_000_000


@pytest.fixture
def scripted(monkeypatch):
    """Let every span by events last 6.4 ms."""
    monkeypatch.setattr(CudaSession, "_elapsed_ns", lambda _self: 6.4 * MS)


@pytest.fixture
def proved(monkeypatch):
    """Let the flush be proved, or not, by these chases."""

    def chases(hot: float, after: float, memory: float) -> None:
        monkeypatch.setattr(Memory, "flush_proof", lambda _self: FlushProof(hot, after, memory))

    return chases


@pytest.mark.parametrize(
    ("host_ns", "period_ns", "iterations"),
    [
        (100_000, 0.2 * MS, 30),
        (10_000, 0.01 * MS, 128),
        (10_000, 50 * MS, 2),
        (5 * MS, 5 * MS, 1),
        (10_000, 5_000 * MS, 1),
    ],
)
def test_what_stands_behind_the_gate_fits_the_queue_and_the_pass(host_ns, period_ns, iterations):
    """3 ms of launches, 100 ms of work, 128 iterations at most, and one at least."""
    assert behind_the_gate(host_ns, period_ns) == iterations


def test_the_gated_time_is_the_span_over_its_iterations(library, standin, scripted):
    """Two iterations of 50 ms fit a pass; a span of 6.4 ms gives 3.2 ms each; the host's cost is noted."""
    calls = []
    found = gated(0, lambda: calls.append(1), 50 * MS, library=library)
    assert (found.iteration_ns, found.iterations, found.reason) == (3.2 * MS, 2, None)
    assert found.evidence["iterations"] == 2
    assert found.evidence["gated"] is True
    assert found.evidence["host_ns"] > 0
    assert len(calls) == 4, "one to see what it costs the host, one before the gate, two behind it"
    assert standin.standin_used() == 0


def test_the_hosts_delay_is_in_its_cost_and_not_in_the_gated_time(shim, library):
    """A host that takes 30 ms to launch a spin of 0.1 ms: behind the gate only the spin is left."""
    with shim.context, shim.context.memory(16) as (took,):
        spin = shim.function("spin").launch(150_000, took)

        def iterate() -> None:
            time.sleep(0.03)
            spin()

        found = gated(0, iterate, 30 * MS, library=library)
    assert found.reason is None
    assert 0.1 * MS <= found.iteration_ns < 30 * MS
    assert found.evidence["host_ns"] >= 30 * MS


def test_a_step_that_waits_for_the_device_has_no_gated_time(shim, library):
    """The gate's deadline passes, the reason says why, and the run without the gate is in the evidence."""
    found = gated(0, shim.context.synchronize, 1 * MS, library=library)
    assert found.iteration_ns is None
    assert "took over 100 ms to enqueue behind the gate" in found.reason
    assert "waits for the device" in found.reason
    assert found.evidence["gated"] is False


def test_every_cold_iteration_follows_a_flush(library, standin, scripted, proved, monkeypatch):
    """Four iterations of 25 ms fit a pass; each is timed after a flush of its own, and the proof is kept."""
    proved(200, 590, 600)
    order = []
    monkeypatch.setattr(Memory, "flush", lambda _self, stream=0: order.append(f"flush {stream}"))
    found = cold(0, lambda: order.append("step"), 25 * MS, stream=7, library=library)
    assert order == ["flush 7", "step"] * 4
    assert (found.iteration_ns, found.iterations) == (6.4 * MS, 4)
    assert found.evidence["flush"] == {
        "warm_chase_ns": 200, "cold_chase_ns": 590, "memory_chase_ns": 600, "proved": True,
    }  # fmt: skip
    assert found.evidence["spans_ns"] == [6.4 * MS] * 4


def test_the_flush_itself_is_not_in_the_cold_time(shim, library, proved, monkeypatch):
    """A flush that takes 50 ms of the device leaves a spin of 0.1 ms far below that."""
    proved(200, 590, 600)
    with shim.context, shim.context.memory(32) as (took,):
        spin = shim.function("spin").launch(150_000, took)
        long = shim.function("spin").launch(75_000_000, took + 16)
        monkeypatch.setattr(Memory, "flush", lambda _self, _stream=0: long())
        found = cold(0, spin, 100 * MS, library=library)
    assert 0.1 * MS <= found.iteration_ns < 50 * MS


def test_without_proof_of_the_flush_there_is_no_cold_time(library, standin, proved):
    """A chase that still met the cache: no iteration runs, and the chases stand in the evidence."""
    proved(200, 300, 600)
    found = cold(0, pytest.fail, 1 * MS, library=library)
    assert found.iteration_ns is None
    assert "still met the cache" in found.reason
    assert found.evidence["flush"]["cold_chase_ns"] == 300


def test_a_waiting_step_has_no_cold_time_but_the_proof(shim, library, proved):
    """The deadline's reason goes with what was proved before."""
    proved(200, 590, 600)
    found = cold(0, shim.context.synchronize, 100 * MS, library=library)
    assert found.iteration_ns is None
    assert "waits for the device" in found.reason
    assert found.evidence["flush"]["proved"] is True


@pytest.mark.parametrize("run", [gated, cold])
def test_without_a_driver_the_reason_is_kept(standin, run):
    """Nothing runs, and nothing is raised."""
    found = run(0, pytest.fail, 1 * MS, library="libcuda-absent.so.1")
    assert found.iteration_ns is None
    assert found.reason == "no NVIDIA driver: libcuda-absent.so.1 is not installed"
