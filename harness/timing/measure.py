"""Measure steps: warm up until steady, then one ungated span, timed and judged (docs/method.md, 2 and 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.devices import registry
from harness.devices.base import Counters, Device, DeviceError
from harness.system.contention import Contention, between
from harness.timing.clocks import Clock, HostClock
from harness.timing.loop import (
    CHUNK_NS,
    ROUND_ITERATIONS,
    Layout,
    Span,
    Step,
    Stretches,
    collector_off,
)
from harness.timing.peers import ALONE, Peers
from harness.timing.soak import Conditions, ReadConditions
from harness.timing.steady import Warmup, drifted, stalled, warm_up

HOST_SAMPLES = 1 << 20
"""Samples kept of one span on the host's clock (8 MiB)."""
EVENT_SAMPLES = 1 << 16
"""Samples kept of one span by device events."""


@dataclass(frozen=True, slots=True)
class TimingSettings:
    """How long and how surely to measure; `conf/measure` holds the presets."""

    seconds: float = 5.0
    min_iterations: int = 3
    warmup_s: float = 2.0
    warmup_iterations: int = 3
    warmup_cap_s: float = 60.0
    steady_window_s: float = 1.0
    steady_tolerance: float = 0.0025
    target: float = 0.05
    """The relative half-width that the trial is to reach; half of it is the drift allowed within a span."""

    @property
    def warm_up(self) -> dict[str, Any]:
        """What `steady.warm_up` takes of them."""
        return {
            "warmup_s": self.warmup_s,
            "warmup_iterations": self.warmup_iterations,
            "cap_s": self.warmup_cap_s,
            "window_s": self.steady_window_s,
            "tolerance": self.steady_tolerance,
        }


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured span of one process."""

    warmup_iterations: int
    warmup_ns: int
    first_index: int
    """Index of the first measured step."""
    iterations: int
    span_ns: int
    """Host time of the whole span, the device synchronised at both ends."""
    host_ns: int
    """Host time until the last step's call returned; below `span_ns` where the device runs behind. Where each
    step is fenced, the time in which their calls ran, without the fences."""
    durations_ns: npt.NDArray[np.int64]
    """Durations of samples of `group` consecutive iterations, by `clock`."""
    group: int
    """Iterations in one duration: 1 unless they are too short and too many to keep each one's time."""
    stretches: Stretches | None
    """CPU time and context switches of the thread; None where the device works apart from it."""
    cpu_ns: int
    """CPU time of the process, all threads."""
    steal_ratio: float | None
    """Share of the machine's time that the hypervisor took; None where the kernel reports none."""
    involuntary_switches: int
    tick_ns: int | None
    """Step of the clock behind the durations; None when the probe saw it stand still."""
    clock: str
    """`host` or `device events`."""
    steady: bool
    drift: bool
    marks: dict[str, npt.NDArray[np.int64]]
    """By mark, its time from the iteration's start in ns, shape (iterations,); -1 where it was not passed."""
    flags: tuple[str, ...]
    """`not_steady`, `drift`, `drift_unknown`, `stalled`, `grouped`, `buffer_full`."""
    conditions: Conditions = field(default_factory=Conditions)
    """What the device reported right after the span."""
    warmup_windows: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Batch medians in ns of the last two windows of the warm-up, by which `steady` was judged."""
    contention: Contention | None = None
    """What others took of the host within the span; None where the device does not count it."""

    @property
    def period_ns(self) -> float:
        """Mean time of an iteration: span / iterations."""
        return self.span_ns / self.iterations


def measure_steps(
    step: Step,
    *,
    device: Device,
    settings: TimingSettings,
    window: AbstractContextManager[Any] | None = None,
    on_phase: Callable[[str], None] = lambda _phase: None,
    clock: Clock | None = None,
    first_index: int = 0,
    read: ReadConditions = Conditions,
    peers: Peers = ALONE,
) -> Measurement:
    """Run `step(index, mark)` until steady, then measure it.

    On the host's clock the span ends by time. Where the device runs behind the host, the host's clock cannot
    tell how far it is, so the number of iterations is fixed beforehand from the period of the last window;
    so it is with several ranks, which must all run the same number.

    Args:
        step: One iteration; the index counts up through warm-up and span. `mark(name)` notes a moment in it.
        device: An opened device.
        settings: Durations and tolerances.
        window: Entered just before the span and left just after it, the device idle both times.
        on_phase: Told `warmup`, then `measure`.
        clock: The host's clocks; tests script them.
        first_index: Index of the first warm-up step.
        read: Tells the device's conditions; asked once, right after the span.
        peers: The ranks that run the same steps; they begin the span together, and the window holds all
            their spans.
    """
    clock = clock or HostClock()
    on_phase("warmup")
    tick_ns = device.tick_ns(clock.now_ns)
    warm = warm_up(step, device=device, clock=clock, first=first_index, peers=peers, **settings.warm_up)
    by_time = peers.world == 1
    span = allocate(device, clock, settings, warm.period_ns, by_time=by_time)
    span.timeline.reserve(warm.marks)
    at_least = settings.min_iterations if by_time else span.capacity
    duration_ns = round(settings.seconds * 1e9) if by_time else 0
    first = first_index + warm.iterations

    on_phase("measure")
    with collector_off(), clock.watching(), window or nullcontext():
        before = device.counters()
        device.synchronize()
        peers.barrier()
        begin_ns = clock.now_ns()
        span.run(step, first=first, at_least=at_least, duration_ns=duration_ns)
        device.synchronize()
        span_ns = clock.now_ns() - begin_ns
        around = _Around(span_ns, read(), before, device.counters())
        peers.barrier()
    return _measurement(warm, span, around, settings.target, duration_ns, first, tick_ns)


@dataclass(frozen=True, slots=True)
class _Around:
    """What was read at the ends of a span."""

    span_ns: int
    conditions: Conditions
    before: Counters
    after: Counters


def _measurement(
    warm: Warmup,
    span: Span,
    around: _Around,
    target: float,
    duration_ns: int,
    first: int,
    tick_ns: int | None,
) -> Measurement:
    """Judge a span that was to last `duration_ns` by the host's clock, and began with step `first`."""
    durations_ns = span.timeline.durations_ns()
    drift = drifted(durations_ns, target)
    by_host, launches_ns = span.timeline.paced_by_host, span.timeline.launches_ns()
    flags = {
        "not_steady": not warm.steady,
        "drift": drift,
        "drift_unknown": drift is None,
        "stalled": stalled(durations_ns),
        "grouped": span.layout.group > 1,
        "buffer_full": by_host and span.host_ns < duration_ns,
    }
    before, after = around.before, around.after
    return Measurement(
        warmup_iterations=warm.iterations,
        warmup_ns=warm.duration_ns,
        warmup_windows=warm.windows,
        first_index=first,
        iterations=span.iterations,
        span_ns=around.span_ns,
        host_ns=span.host_ns if launches_ns is None else int(launches_ns.sum()),
        durations_ns=durations_ns,
        group=span.layout.group,
        stretches=span.stretches() if span.timeline.in_thread else None,
        cpu_ns=after.cpu_ns - before.cpu_ns,
        steal_ratio=_steal_ratio(before, after),
        involuntary_switches=after.involuntary_switches - before.involuntary_switches,
        tick_ns=tick_ns,
        clock=span.timeline.clock,
        steady=warm.steady,
        drift=bool(drift),
        marks=span.timeline.marks_ns() if span.layout.group == 1 else {},
        flags=tuple(name for name, raised in flags.items() if raised),
        conditions=around.conditions,
        contention=None if before.host is None or after.host is None else between(before.host, after.host),
    )


def measure(
    fn: Callable[[], object], *, device: Device | str = "cpu", settings: TimingSettings | None = None
) -> Measurement:
    """Measure a function of no arguments on a device; one given by name (`cpu`, `cuda:1`, `auto`) is opened.

    Raises:
        DeviceError: the device cannot be used.
    """
    if isinstance(device, str):
        device = registry.device(device)
        reason = device.unavailable_reason(device.index)
        if reason is not None:
            raise DeviceError(reason)
        device.open()
    step = device.held(lambda _index, _mark: fn())
    return measure_steps(step, device=device, settings=settings or TimingSettings())


def allocate(
    device: Device, clock: Clock, settings: TimingSettings, period_ns: float, *, by_time: bool = True
) -> Span:
    """Return a span with room for `settings.seconds` of iterations of about `period_ns`.

    One that does not end by time has room for as many as it is to run.
    """
    expected = max(settings.min_iterations, math.ceil(settings.seconds * 1e9 / period_ns))
    # The class that the device makes says who paces; the smallest one costs nothing.
    one = device.timeline(1, clock.now_ns)
    if one.paced_by_host:
        room = 2 * expected if by_time else expected  # it may run faster than in the warm-up
        group = math.ceil(room / HOST_SAMPLES)
        chunk = math.ceil(CHUNK_NS / (period_ns * group))
        samples = chunk * math.ceil(room / group / chunk)
        rest = chunk * (math.ceil(ROUND_ITERATIONS / chunk) - 1) if group == 1 and one.ends is not None else 0
    else:
        group = math.ceil(expected / EVENT_SAMPLES)
        samples = chunk = math.ceil(expected / group)
        rest = 0
    return Span(device.timeline(samples, clock.now_ns), clock, Layout(group, chunk, rest))


def _steal_ratio(before: Counters, after: Counters) -> float | None:
    if before.steal_jiffies is None or after.steal_jiffies is None:
        return None
    if before.total_jiffies is None or after.total_jiffies is None:
        return None
    total = after.total_jiffies - before.total_jiffies
    return (after.steal_jiffies - before.steal_jiffies) / total if total > 0 else None
