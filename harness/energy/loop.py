"""The energy of one iteration: a loop of them within a window, in blocks shifted against the sensor's period.

docs/method.md, section 4. A counter that samples only part of each update period would see the same part of
the work each time, if iterations came in step with it. Pauses between blocks move the work on by parts of the
period.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median

from harness.energy.estimation.aliasing import FLAG, is_aliased, left_by_shifts, shifts
from harness.energy.estimation.result import EnergyResult
from harness.energy.estimation.uncertainty import iteration_u
from harness.energy.sampling.ticks import Host
from harness.energy.sensors.base import SensorInfo
from harness.energy.windows import Window

_PACE_ITERATIONS = 3


@dataclass(frozen=True, slots=True)
class IterationEnergy:
    """Energy per iteration over a loop, or None with the reason in `window.reason`."""

    iterations: int
    blocks: int
    iteration_s: float
    joules: float | None
    u_joules: float | None
    """Standard uncertainty, repeatability."""
    u_absolute_joules: float | None
    window: EnergyResult


def measure_loop(
    step: Callable[[int], object],
    window: Window,
    *,
    seconds: float = 5.0,
    synchronize: Callable[[], None] = lambda: None,
    shift: bool = True,
    host: Host | None = None,
) -> IterationEnergy:
    """Run `step(index)` for some seconds within a window, and return the energy of one iteration.

    Args:
        step: One iteration.
        window: Not yet entered; its guards give the idle power that the pauses take off.
        seconds: Of work, pauses and guards not counted.
        synchronize: Waits until the device has done all that was asked of it.
        shift: Cut the work into blocks, shifted against the counter's period; without it a loop in step with
            the counter is flagged `aliased`.
        host: The clock; tests script it.
    """
    host = host or Host()
    begin_ns = host.now_ns()
    for index in range(_PACE_ITERATIONS):
        step(index)
    synchronize()
    iteration_s = max(1e-9, (host.now_ns() - begin_ns) * 1e-9 / _PACE_ITERATIONS)
    done = 0
    with window:
        info = window.slowest
        # Without guards the energy of pauses is not known, so there are none.
        blocks = shifts(info, iteration_s) if shift and window.guarded and info is not None else 1
        each = max(1, math.ceil(seconds / iteration_s / blocks))
        blocks_ns: list[int] = []
        edges: list[int] = []
        for block in range(blocks):
            if blocks > 1:
                window.pause(block / blocks)
            start_ns = host.now_ns()
            for index in range(done, done + each):
                step(index)
                edges.append(host.now_ns())
            synchronize()
            done += each
            blocks_ns.append(host.now_ns() - start_ns)
    iteration_s = sum(blocks_ns) * 1e-9 / done
    if blocks == 1:
        # The usual distance: now and then an iteration is late, but most keep in step.
        usual_s = median(b - a for a, b in pairwise(edges)) * 1e-9 if len(edges) > 1 else iteration_s
        result = _aliasing_flagged(window.result, usual_s)
    else:
        result = _with_strays(window.result, window.strays_s, blocks_ns)
    joules = None if result.joules is None else result.joules / done
    u_joules = u_absolute = None
    if result.u_joules is not None and result.u_absolute_joules is not None:
        gain_j = math.sqrt(max(0.0, result.u_absolute_joules**2 - result.u_joules**2)) / done
        u_joules, u_absolute = iteration_u([result.u_joules], done, gain_j)
    return IterationEnergy(done, blocks, iteration_s, joules, u_joules, u_absolute, result)


def _counters(result: EnergyResult) -> list[SensorInfo]:
    return [device.sensors[0] for device in result.devices if device.sensors]


def _aliasing_flagged(result: EnergyResult, iteration_s: float) -> EnergyResult:
    """Flag a result whose iterations kept in step with a counter."""
    aliased = any(is_aliased(info, iteration_s, result.span_s) for info in _counters(result))
    return replace(result, flags=(*result.flags, FLAG)) if aliased else result


def _with_strays(result: EnergyResult, strays_s: Sequence[float], blocks_ns: Sequence[int]) -> EnergyResult:
    """Widen a shifted result by what blocks that began or lasted otherwise than planned leave open."""
    if result.joules is None or result.u_joules is None or result.u_absolute_joules is None:
        return result
    usual_ns = median(blocks_ns)
    strays_s = [
        math.hypot(start_s, (block_ns - usual_ns) * 1e-9)
        for start_s, block_ns in zip(strays_s, blocks_ns, strict=True)
    ]
    left_j = max(left_by_shifts(info, strays_s) for info in _counters(result)) * result.joules
    return replace(
        result,
        u_joules=math.hypot(result.u_joules, left_j),
        u_absolute_joules=math.hypot(result.u_absolute_joules, left_j),
        method=f"{result.method}_shifted",
    )


def mean_of_loops(loops: Sequence[IterationEnergy]) -> tuple[float, float, float] | None:
    """Return the mean energy of an iteration over repeated loops, its repeatability and absolute uncertainty.

    docs/method.md, section 4: the loops' spread is added to what the widest of their windows leaves open.
    None where a loop has no energy or no uncertainty.

    Raises:
        ValueError: there is no loop.
    """
    if not loops:
        raise ValueError("a mean needs at least one loop")
    found = [
        (loop.joules, loop.u_joules, loop.u_absolute_joules)
        for loop in loops
        if loop.joules is not None and loop.u_joules is not None and loop.u_absolute_joules is not None
    ]
    if len(found) < len(loops):
        return None
    gain_j = fmean(math.sqrt(max(0.0, absolute**2 - u**2)) for _, u, absolute in found)
    widest_j = max(u for _, u, _ in found)
    repeats_j = [joules for joules, _, _ in found]
    return fmean(repeats_j), *iteration_u([widest_j], 1, gain_j, repeats_j)
