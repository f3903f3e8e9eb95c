"""The instrument's checks on the CPU: its clock, its own cost, spins of known length, the flush."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median

from harness import timing
from harness.devices.cpu import CpuDevice
from harness.qualify import judging
from harness.records.schema import Check
from harness.shim.cpu import ceilings, routines
from harness.system import native

TICK_NS, EMPTY_NS = 1000, 3000
SPINS_US, FULL_SPINS_US = (20, 200), (20, 200, 2000)
SPIN_FLOOR_NS, SPIN_SHARE = 500, 0.002
FLUSHED = 1.5
"""A chase through a flushed set takes at least so much longer than through a cached one."""
_SWEEP_BYTES = 2**30


def checks(*, quick: bool) -> Iterator[Check]:
    """Make the checks one after another."""
    device = CpuDevice(threads=1)
    seconds = 0.1 if quick else 0.4
    yield judging.at_most(
        "timer.tick", "The step of the host's clock.", device.tick_ns(time.perf_counter_ns), TICK_NS, "ns"
    )
    empty_ns = _median_ns(lambda _index: None, device, seconds)
    yield judging.at_most(
        "timer.empty", "The instrument around a step that does nothing.", empty_ns, EMPTY_NS, "ns"
    )
    errors = {n * 1000: _spin_error_ns(n * 1000, device, seconds, empty_ns) for n in _lengths(quick=quick)}
    yield judging.spins(
        "timer.spin",
        "Spins of known length, as the instrument times them.",
        errors,
        floor_ns=SPIN_FLOOR_NS,
        share=SPIN_SHARE,
    )
    yield flush()


def flush() -> Check:
    """Prove that a read sweep empties the caches: a chase through a set that fitted is slower after it."""
    check_id, what = "cache.flush", "A pointer chase after a read sweep, over the same chase before it."
    levels = ceilings.data_caches()
    if not levels:
        return judging.not_available(check_id, what, "the kernel reports no cache sizes")
    # The private levels: a last level that is shared, or larger than any sweep, may keep the set.
    private = levels[-2] if len(levels) > 1 else levels[-1]
    try:
        warm, cold = routines.flush_ns(private.size_bytes // 2, min(2 * levels[-1].size_bytes, _SWEEP_BYTES))
    except (native.NotBuiltError, routines.CpuShimError) as error:
        return judging.not_available(check_id, what, str(error))
    return judging.at_least(check_id, what, cold / warm, FLUSHED, "1")


def _lengths(*, quick: bool) -> tuple[int, ...]:
    return SPINS_US if quick else FULL_SPINS_US


def _settings(seconds: float) -> timing.TimingSettings:
    return timing.TimingSettings(
        seconds=seconds, warmup_s=0.02, warmup_cap_s=0.1, steady_window_s=0.02, min_iterations=9
    )


def _median_ns(step: Callable[[int], object], device: CpuDevice, seconds: float) -> float:
    measured = timing.measure_steps(
        lambda index, _mark: step(index), device=device, settings=_settings(seconds)
    )
    return float(median(measured.durations_ns)) / measured.group


def _spin_error_ns(length_ns: int, device: CpuDevice, seconds: float, empty_ns: float) -> float:
    """Time spins that each time themselves, so that what interrupts one is in both figures."""
    now = time.perf_counter_ns
    own: dict[int, int] = {}

    def spin(index: int, _mark: object) -> None:
        begin = now()
        end = begin + length_ns
        while (here := now()) < end:
            pass
        own[index] = here - begin

    measured = timing.measure_steps(spin, device=device, settings=_settings(seconds))
    first, group = measured.first_index, measured.group
    true = [
        sum(own[first + sample * group + i] for i in range(group)) / group
        for sample in range(len(measured.durations_ns))
    ]
    return judging.spin_error_ns((measured.durations_ns / group).tolist(), true, empty_ns)
