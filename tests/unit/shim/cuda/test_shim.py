"""The measuring class over the stand-in driver, whose clock and geometry are known."""

from __future__ import annotations

import pytest

from harness.shim.cuda import CudaShim
from harness.shim.cuda.arithmetic import matrix_paths, unit_for
from harness.shim.cuda.memory import FlushProof
from harness.shim.errors import ArchitectureError

SM_HZ = 1.5e9


def test_every_sms_clock_is_the_stand_ins(shim):
    """All four SMs are seen, each at 1.5 GHz."""
    clock = shim.sm_clock(3_000_000)
    assert sorted(clock.hz) == [0, 1, 2, 3]
    assert clock.median_hz == pytest.approx(SM_HZ, rel=0.01)


def test_a_spin_is_as_long_as_its_own_cycles_say(shim):
    """The truth is at least what was asked, by the clock that was measured."""
    spin = shim.spin(200_000, clock=shim.sm_clock(3_000_000))
    assert spin.true_ns >= 0.98 * 200_000
    assert spin.measured_ns > 0


def test_the_empty_launch_has_a_cost_on_both_sides(shim):
    """Host and device time are positive."""
    empty = shim.empty_launch_ns()
    assert empty.host_ns > 0
    assert empty.device_ns > 0


@pytest.mark.parametrize(("kind", "ways"), [("read", 1), ("write", 1), ("copy", 2), ("triad", 3)])
def test_bandwidth_counts_each_way(shim, kind, ways):
    """A repeat's bytes are those of its sweeps, each way counted; the rate is over the median repeat."""
    with shim.context:
        size = shim.sweep_bytes()
    rate = shim.bandwidth(kind)
    assert rate.work % (ways * size) == 0
    assert rate.work >= ways * size
    assert rate.unit == "B/s"
    assert rate.value == pytest.approx(rate.work / sorted(rate.repeats_ns)[len(rate.repeats_ns) // 2] * 1e9)


def test_the_sweep_leaves_memory_for_others(shim):
    """256 MiB are wanted, but an eighth of what is free is the most."""
    with shim.context:
        assert shim.sweep_bytes() == shim.context.free_bytes() // 8 // 4096 * 4096


def test_an_unknown_kind_names_those_there_are(shim):
    """Each measurement refuses what it does not know."""
    for call in (shim.bandwidth, shim.latency, shim.arithmetic, shim.copy):
        with pytest.raises(ValueError, match="one of"):
            call("nonsense")


def test_hopper_has_wgmma_for_every_matrix_kind(shim):
    """The kinds are all there, and bf16 goes by wgmma unless another path is asked for."""
    assert shim.arithmetic_kinds() == ("fp32", "fp64", "int32", "bf16", "fp16", "tf32", "int8", "fp8")
    assert shim.arithmetic("bf16").path == "wgmma_bf16"
    assert shim.arithmetic("bf16", "mma").path == "mma_bf16"
    with pytest.raises(ArchitectureError, match="sm_90 has no tcgen05"):
        shim.arithmetic("bf16", "tcgen05")


@pytest.mark.parametrize(
    ("major", "minor", "path", "kinds"),
    [
        (7, 5, "mma_fp16", {"fp16", "int8"}),
        (8, 0, "mma_fp16", {"bf16", "fp16", "tf32", "int8"}),
        (8, 9, "mma_fp16", {"bf16", "fp16", "tf32", "int8", "fp8"}),
        (10, 0, "tcgen05_fp16", {"bf16", "fp16", "tf32", "int8", "fp8"}),
        (12, 0, "mma_fp16", {"bf16", "fp16", "tf32", "int8", "fp8"}),
    ],
)
def test_each_architecture_has_its_own_paths(library, standin, major, minor, path, kinds):
    """Real machine code of each architecture is loaded, and every kind that is listed is in it."""
    standin.standin_set(b"major", major)
    standin.standin_set(b"minor", minor)
    with CudaShim(0, library=library, target_ns=10_000) as shim:
        assert set(shim.arithmetic_kinds()) == {"fp32", "fp64", "int32", *kinds}
        for kind in kinds:
            assert shim.arithmetic(kind).value > 0
        assert shim.arithmetic("fp16").path == path


def test_operations_are_counted_from_the_shapes():
    """A block of 8 warps does 32 m16n8k16 a pass; two warpgroups 4 m64n256k16; one CTA 4 m128n256k16."""
    assert unit_for("bf16", "mma", (8, 0)).operations == 8 * 32 * 2 * 16 * 8 * 16
    assert unit_for("bf16", "wgmma", (9, 0)).operations == 2 * 4 * 2 * 64 * 256 * 16
    assert unit_for("bf16", "tcgen05", (10, 0)).operations == 4 * 2 * 128 * 256 * 16
    assert unit_for("int8", "wgmma", (9, 0)).operations == 2 * unit_for("bf16", "wgmma", (9, 0)).operations
    assert unit_for("tf32", "mma", (9, 0)).operations * 2 == unit_for("fp16", "mma", (9, 0)).operations
    assert matrix_paths((8, 6)) == ("mma",)
    assert matrix_paths((9, 0)) == ("wgmma", "mma")


def test_the_rate_by_clock_and_sm_uses_the_measured_clock(shim):
    """FLOP per clock per SM is the rate over the measured clock and the number of SMs."""
    rate = shim.arithmetic("fp32")
    assert rate.unit == "FLOP/s"
    assert rate.per_clock_per_sm == pytest.approx(rate.value / (rate.sm_hz * 4))
    assert shim.arithmetic("int32").unit == "op/s"


@pytest.mark.parametrize("kind", ["launch", "synchronize", "barrier", "l1", "l2", "memory"])
def test_every_latency_is_measured(shim, kind):
    """Each has a time, and those on the device have cycles."""
    latency = shim.latency(kind)
    assert latency.ns > 0
    assert (latency.cycles is None) == (kind in {"launch", "synchronize"})


@pytest.mark.parametrize(
    ("hot", "cold", "memory", "flushed"),
    [
        (200, 560, 600, True),
        (200, 520, 600, True),
        (200, 519, 600, False),
        (200, 200, 600, False),
        (9, 9, 9, False),
    ],
)
def test_a_flush_is_proved_by_the_way_to_memory(hot, cold, memory, flushed):
    """At least 80 % of the way from hot to memory; without a difference between them nothing is proved."""
    assert FlushProof(hot, cold, memory).flushed is flushed


def test_the_flush_is_packed_once_and_proved_by_chases(shim):
    """Flushing again allocates nothing more, and the proof has all three latencies."""
    proof = shim.flush_proof()
    assert min(proof.hot_ns, proof.cold_ns, proof.memory_ns) > 0
    with shim.context:
        free = shim.context.free_bytes()
        shim.flush()
        assert shim.context.free_bytes() == free


@pytest.mark.parametrize("direction", ["h2d", "d2h", "d2d"])
def test_copies_count_their_bytes(shim, direction):
    """A copy within the device reads and writes; one to or from the host moves its size once."""
    moved = (2 if direction == "d2d" else 1) * (1 << 16)
    rate = shim.copy(direction, size=1 << 16)
    assert rate.work % moved == 0
    assert rate.work >= moved


def test_a_copy_between_devices_needs_a_direct_way(library, standin):
    """With access it is measured; without, or to a device that is not there, it is refused."""
    standin.standin_set(b"devices", 2)
    with CudaShim(0, library=library) as shim:
        assert shim.copy("p2p:1", size=1 << 16).path == "cuMemcpyPeerAsync"
        standin.standin_fail(b"cuCtxEnablePeerAccess", 704)  # it was enabled before
        assert shim.copy("p2p:1", size=1 << 16).value > 0
        standin.standin_set(b"peers", 0)
        with pytest.raises(ValueError, match="device 0 cannot reach device 1 directly"):
            shim.copy("p2p:1", size=1 << 16)


def test_a_soak_ends_when_two_windows_agree_or_at_the_cap(shim, monkeypatch):
    """Steady windows end it early; otherwise the cap ends it and it says so."""
    windows = iter([100.0, 110.0, 110.05, 99.0])
    seen = []

    def window(*_args):
        from harness.shim.cuda.arithmetic import SoakWindow

        seen.append(SoakWindow(1.0, next(windows), SM_HZ + len(seen)))
        return seen[-1]

    monkeypatch.setattr(shim, "_soak_window", window)
    soak = shim.soak("fp32", window_s=1, cap_s=100)
    assert soak.steady
    assert len(soak.windows) == 3
    assert soak.reference_hz == SM_HZ + 2
    with pytest.raises(ValueError, match="no two windows"):
        shim.soak(window_s=10, cap_s=15)


def test_a_soak_keeps_the_device_busy_for_its_windows(shim):
    """Real windows have their length, a rate and a clock."""
    soak = shim.soak("bf16", window_s=0.005, cap_s=0.02)
    assert all(w.seconds >= 0.005 and w.rate > 0 for w in soak.windows)
    assert soak.reference_hz == pytest.approx(SM_HZ, rel=0.05)


def test_facts_say_where_each_image_came_from(shim):
    """Unit by unit: machine code or PTX, for which architecture, released or compiled."""
    facts = shim.facts()
    assert facts["capability"] == "9.0"
    assert facts["images"]["timing"].startswith("cubin 90")
