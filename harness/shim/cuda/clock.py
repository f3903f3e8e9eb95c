"""Time on a CUDA device: the tick, stamps, every SM's clock, launches, spins of known length."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.shim.cuda.launch import Launch
from harness.shim.cuda.session import CudaSession, Enqueue
from harness.shim.cuda.stamps import (
    STAMP,
    SmClock,
    Stamp,
    clock_between,
    median,
    read_stamps,
    smallest_tick_ns,
)
from harness.shim.errors import GateExpiredError

_U64 = ctypes.c_uint64
_TICKS = 64
_PATIENCE = 1 << 20
"""Reads of a timer that does not move before the probe gives it up."""
_TRIES = 31
_BARE_SPINS = 5


@dataclass(frozen=True, slots=True)
class EmptyLaunch:
    """What a kernel costs that does nothing."""

    host_ns: float
    """Median host time of one pre-packed launch call."""
    device_ns: float
    """Median device time by events around one empty kernel, gated: subtract it from a gated span."""
    residual_ns: float
    """Mean of further empty kernels after that subtraction; 0 is a calibrated instrument."""


@dataclass(frozen=True, slots=True)
class Spin:
    """A kernel of known length, as the instrument sees it."""

    asked_ns: float
    true_ns: float
    """By the SM's own cycles and its measured clock, less those of a spin of no length."""
    measured_ns: float
    """By events, gated, less a spin of no length."""


@dataclass(frozen=True, slots=True)
class GatedRun:
    """Device time of some iterations, and whether the gate held."""

    span_ns: float
    iterations: int
    gated: bool
    reason: str | None = None
    """Why it is not gated."""


class StampRing:
    """Stamps on the device, at most `places` (a power of two) of them; usable inside captured graphs.

    Args:
        session: An open session; its context must be current.
        places: Stamps kept.
    """

    def __init__(self, session: CudaSession, places: int = 4096) -> None:
        if places & (places - 1):
            raise ValueError(f"{places} places; a power of two is needed")
        self._session = session
        self._bytes = 64 + places * STAMP.size
        self.places = places
        self.address = session.driver.read(_U64, "cuMemAlloc_v2", self._bytes)
        session.clear(self.address, self._bytes)

    def launch(self, tag: int, *, blocks: int = 1, stream: int = 0) -> Launch:
        """Pack a launch that stamps once per block."""
        stamp = self._session.function("stamp")
        return stamp.launch(
            self.address, self.address + 64, self.places - 1, tag, grid=blocks, block=32, stream=stream
        )

    def read(self, stream: int = 0) -> list[Stamp]:
        """Return the stamps kept, oldest first, once the stream has got here."""
        content = self._session.read(self.address, self._bytes, stream)
        return read_stamps(content[64:], int.from_bytes(content[:8], "little"))

    def free(self) -> None:
        """Give its memory back."""
        self._session.driver.call("cuMemFree_v2", self.address)


class Clocks(CudaSession):
    """The clocks of an opened device."""

    def __init__(self, index: int = 0, **options: Any) -> None:
        super().__init__(index, **options)
        with self.context:
            # Two snapshots of twice as many blocks as there are SMs, so that each SM gets one.
            self._blocks = 2 * self.multiprocessors
            self._ring = StampRing(self, 1 << (4 * self._blocks - 1).bit_length())
            self._snapshots = tuple(self._ring.launch(0, blocks=self._blocks) for _ in range(2))
            self._tag = 0

    def close(self) -> None:
        """Free the ring and what the session holds."""
        with self.context:
            self.context.synchronize()
            self._ring.free()
        super().close()

    def tick_ns(self) -> int | None:
        """Return the step of the device-wide timer; None if it does not move."""
        with self.context, self.context.memory(8 * _TICKS) as (moments,):
            self.clear(moments, 8 * _TICKS)
            self.function("tick_probe").launch(moments, _TICKS, _PATIENCE)()
            return smallest_tick_ns([moment for moment in self.read_u64(moments, _TICKS) if moment])

    def empty_launch_ns(self) -> EmptyLaunch:
        """Measure an empty kernel: the host's cost, and the device time that a calibration subtracts."""
        with self.context:
            launch = self.function("empty").launch()
            launch()
            self.context.synchronize()
            host = []
            for _ in range(_TRIES):
                begin = time.perf_counter_ns()
                launch()
                host.append(time.perf_counter_ns() - begin)
            self.context.synchronize()
            device = [self.time_gated_ns(launch) for _ in range(2 * _TRIES)]
        calibration_ns = median(device[:_TRIES])
        residual_ns = sum(device[_TRIES:]) / _TRIES - calibration_ns
        return EmptyLaunch(median(host), calibration_ns, residual_ns)

    def spin(self, duration_ns: float, *, clock: SmClock | None = None) -> Spin:
        """Run a spin of known length, and measure it.

        Spins of no length give what the same kernel takes beside spinning: its launch, and writing its result
        out, which an empty kernel has not.

        Args:
            duration_ns: Its length.
            clock: The SMs' clock; measured now unless given.
        """
        clock = clock or self.sm_clock()
        with self.context, self.context.memory(16) as (took,):
            launch = self.function("spin").launch(0, took)
            launch()  # a first launch may load code, which must not happen behind the gate

            def run(cycles: int) -> tuple[float, int]:
                launch.set(0, cycles)
                return self.time_gated_ns(launch), self.read_u64(took, 2)[0]

            bare = [run(0) for _ in range(_BARE_SPINS)]
            span_ns, cycles = run(round(duration_ns * clock.median_hz / 1e9))
        spun = cycles - median(cycles for _, cycles in bare)
        return Spin(duration_ns, spun / clock.median_hz * 1e9, span_ns - median(ns for ns, _ in bare))

    def snapshot(self, stream: int = 0) -> int:
        """Enqueue a stamp on every SM and return its tag, for `clock_between`. Costs one launch."""
        self._tag += 1
        launch = self._snapshots[self._tag % 2]
        launch.set(3, self._tag)
        launch.on(stream)
        launch()
        return self._tag

    def clock_between(self, first: int, second: int, stream: int = 0) -> SmClock:
        """Return every SM's mean clock between the last two snapshots, once the stream has got there.

        Raises:
            ValueError: they are too close, or too old.
        """
        return clock_between(self._ring.read(stream), first, second)

    def clocked(self, enqueue: Enqueue, stream: int = 0) -> SmClock:
        """Return every SM's mean clock while the work that `enqueue` puts on the stream runs."""
        first = self.snapshot(stream)
        enqueue()
        return self.clock_between(first, self.snapshot(stream), stream)

    def sm_clock(self, cycles: int = 4_000_000) -> SmClock:
        """Return every SM's clock over a spin of `cycles` (about 2 ms) on all of them."""
        with self.context, self.context.memory(16) as (took,):
            return self.clocked(
                self.function("spin").launch(cycles, took, grid=self.multiprocessors, block=32)
            )

    def run_gated(self, iterate: Callable[[], object], iterations: int, *, stream: int = 0) -> GatedRun:
        """Time iterations behind the gate; where it expires, once more without, and say so.

        One iteration runs first: a kernel's first launch may load code, for which the driver waits until the
        stream is empty, and behind a gate it never is.
        """

        def enqueue() -> None:
            for _ in range(iterations):
                iterate()

        with self.context:
            iterate()
            self.context.synchronize()
            try:
                return GatedRun(self.time_gated_ns(enqueue, iterations, stream), iterations, gated=True)
            except GateExpiredError as error:
                return GatedRun(self.time_ns(enqueue, stream), iterations, gated=False, reason=str(error))
