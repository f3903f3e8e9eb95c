"""The instrument's checks on a CUDA device, by the shim's own kernels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from harness.energy.sensors.nvml_facts import gpu_facts
from harness.qualify import judging
from harness.records.schema import Check
from harness.shim.cuda import CudaShim

TICK_NS, HOST_NS, RESIDUAL_NS = 1100, 2500, 50
SPINS_US, FULL_SPINS_US = (2, 20, 200), (2, 5, 10, 20, 50, 100, 200)
SPIN_FLOOR_NS, SPIN_SHARE = 100, 0.002
CLOCKS_APART = 0.02
_SPIN_CYCLES = 200_000_000
"""About 0.1 s: time enough for a driver to read the clock meanwhile."""


def checks(shim: CudaShim, *, quick: bool) -> Iterator[Check]:
    """Make the checks one after another."""
    yield judging.at_most("timer.tick", "The step of the device's timer.", shim.tick_ns(), TICK_NS, "ns")
    empty = shim.empty_launch_ns()
    yield judging.at_most("launch.host", "Host time of one packed launch.", empty.host_ns, HOST_NS, "ns")
    yield judging.at_most(
        "launch.empty",
        "A calibrated empty kernel: the mean of further ones.",
        abs(empty.residual_ns),
        RESIDUAL_NS,
        "ns",
    )
    clock = shim.sm_clock()
    errors = {}
    for length_us in SPINS_US if quick else FULL_SPINS_US:
        spin = shim.spin(length_us * 1000.0, clock=clock)
        errors[length_us * 1000] = spin.measured_ns - spin.true_ns
    yield judging.spins(
        "timer.spin",
        "Kernels of known length, as the instrument times them.",
        errors,
        floor_ns=SPIN_FLOOR_NS,
        share=SPIN_SHARE,
    )
    proof = shim.flush_proof()
    yield judging.holds(
        "cache.flush",
        "A pointer chase goes to memory after the flush.",
        good=proof.flushed,
        reason=f"{proof.hot_ns:.0f} ns before, {proof.cold_ns:.0f} ns after, memory {proof.memory_ns:.0f} ns",
    )
    yield clock_agreement(shim)


def clock_agreement(
    shim: CudaShim,
    visible: str | None = os.environ.get("CUDA_VISIBLE_DEVICES"),
    facts: Callable[[], dict[str, object]] = gpu_facts,
) -> Check:
    """Compare the clock that the kernels see with the one that NVML reports, while the same spin runs."""
    check_id, what = "clock.nvml", "The SM clock by cycles, against NVML's."
    if visible:
        reason = "NVML numbers devices otherwise when CUDA_VISIBLE_DEVICES is set"
        return judging.not_available(check_id, what, reason)
    reported: list[float | None] = []

    def load() -> None:
        shim.function("spin").launch(_SPIN_CYCLES, took, grid=shim.multiprocessors, block=32)()
        gpus = facts()["gpus"]
        clocks = gpus[shim.context.index].get("clocks_mhz") if isinstance(gpus, list) and gpus else None
        reported.append(clocks["sm"] * 1e6 if clocks else None)

    with shim.context, shim.context.memory(16) as (took,):
        seen = shim.clocked(load).median_hz
    if reported[0] is None:
        return judging.not_available(check_id, what, "NVML reports no clock of this device")
    return judging.at_most(check_id, what, abs(seen / reported[0] - 1), CLOCKS_APART, "1")
