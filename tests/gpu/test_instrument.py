"""How well the instrument times, and how near the kernels come to what the device can do."""

from __future__ import annotations

from statistics import median

import pytest

pytestmark = pytest.mark.gpu

_COPIES = 50
FP32_PER_CLOCK = {(7, 5): 128, (8, 0): 128, (8, 6): 256, (8, 9): 256, (9, 0): 256, (10, 0): 256, (12, 0): 256}
"""FLOP per clock and SM of the FP32 pipelines, by compute capability (CUDA programming guide)."""


@pytest.fixture(scope="module")
def empty(shim):
    """Measure the empty launch once, the device awake."""
    shim.arithmetic("fp32")
    return shim.empty_launch_ns()


@pytest.fixture(scope="module")
def clock(shim):
    """Measure the SMs' clock once, the device awake."""
    shim.arithmetic("fp32")
    return shim.sm_clock()


def test_the_timer_ticks(shim):
    """32 ns to 1024 ns on the devices known so far."""
    assert shim.tick_ns() in range(1, 2049)


def test_an_empty_kernel_measures_as_nothing(empty):
    """After calibration the mean of empty kernels is within 50 ns of 0."""
    assert abs(empty.residual_ns) <= 50


@pytest.mark.parametrize("duration_us", [2, 5, 10, 20, 50, 100, 200])
def test_known_spins_come_out_right(shim, clock, duration_us):
    """Within 100 ns + 0.2 %, by the median of 15."""
    errors = []
    for _ in range(15):
        spin = shim.spin(1e3 * duration_us, clock=clock)
        errors.append(spin.measured_ns - spin.true_ns)
    assert abs(median(errors)) <= 100 + 0.002 * 1e3 * duration_us


def test_repeated_medians_agree(shim, clock):
    """Two medians of 15 spins of 50 µs are within 0.5 % of each other."""
    medians = [median(shim.spin(5e4, clock=clock).measured_ns for _ in range(15)) for _ in range(2)]
    assert medians[0] == pytest.approx(medians[1], rel=0.005)


def test_the_flush_is_proved(shim):
    """After the flush a chase goes to memory."""
    proof = shim.flush_proof()
    assert proof.flushed, proof


def test_memory_levels_come_in_order(shim):
    """L1 is nearer than L2, and L2 than memory."""
    l1, l2, memory = (shim.latency(level).ns for level in ("l1", "l2", "memory"))
    assert l1 < l2 < memory


def test_the_copy_is_as_fast_as_torchs(shim, cuda_torch):
    """In the same run and for the same size, ours moves at least 99 % of what torch's copy moves."""
    ours = shim.bandwidth("copy")
    with shim.context:
        count = shim.sweep_bytes() // 4
    a, b = (cuda_torch.empty(count, dtype=cuda_torch.float32, device="cuda:0").normal_() for _ in range(2))
    begin, end = (cuda_torch.cuda.Event(enable_timing=True) for _ in range(2))
    times_ms = []
    for _ in range(10):
        begin.record()
        for _ in range(_COPIES):
            b.copy_(a)
        end.record()
        end.synchronize()
        times_ms.append(begin.elapsed_time(end))
    torchs = _COPIES * 8 * count / (median(times_ms[1:]) * 1e-3)
    assert ours.value >= 0.99 * torchs


def test_fp32_reaches_its_pipelines(shim):
    """At least 97 % of the FLOP per clock and SM that the architecture has, at the measured clock."""
    expected = FP32_PER_CLOCK.get(shim.context.capability)
    if expected is None:
        pytest.skip("this architecture's FP32 rate is not in the table")
    assert shim.arithmetic("fp32").per_clock_per_sm >= 0.97 * expected


def test_bf16_reaches_hoppers_matrix_units(shim):
    """At least 95 % of 4096 FLOP per clock and SM, at the measured clock."""
    if shim.context.capability != (9, 0):
        pytest.skip("the bound is Hopper's")
    assert shim.arithmetic("bf16").per_clock_per_sm >= 0.95 * 4096


def test_a_launch_costs_the_host_little(empty):
    """At most 3 µs of host time for one pre-packed launch."""
    assert empty.host_ns <= 3000


def test_iterations_behind_the_gate_run_back_to_back(shim):
    """100 spins of 20 µs behind the gate take about 100 times 20 µs, whatever the host does."""
    with shim.context, shim.context.memory(16) as (took,):
        spin = shim.function("spin").launch(round(2e-5 * shim.sm_clock().median_hz), took)
        run = shim.run_gated(spin, 100)
    assert run.gated, run.reason
    assert run.span_ns == pytest.approx(100 * 2e4, rel=0.25)


def test_a_soak_has_windows_with_rates_and_clocks(shim):
    """Short windows, to see that it works; the session's soak takes its own time."""
    soak = shim.soak("fp32", window_s=0.5, cap_s=3.0, tolerance=0.01)
    assert len(soak.windows) >= 2
    assert soak.reference_hz > 1e8
