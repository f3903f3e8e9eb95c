"""Memory of a CUDA device: bandwidth, the latency of each level, the flush and its proof, copies."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.shim.cuda.clock import Clocks
from harness.shim.cuda.driver import Context
from harness.shim.cuda.session import Enqueue, Rate
from harness.shim.cuda.stamps import median
from harness.shim.errors import CudaError

BANDWIDTHS = ("read", "write", "copy", "triad")
LATENCIES = ("launch", "synchronize", "barrier", "l1", "l2", "memory")
LINE_WORDS = 32
"""A cache line of 128 bytes, in words of 4."""
_BLOCK = 512
_REPEATS = 9
_MOST_SWEEPS = 512
"""Of one repeat: the launch queue never fills."""
_L1_ORDER = 7
"""16 KiB: within L1 everywhere."""
_STEPS = 4096
_ALREADY_ENABLED = 704


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one dependent step takes."""

    kind: str
    ns: float
    cycles: float | None = None
    """By the SM's clock, for what happens on the device."""


@dataclass(frozen=True, slots=True)
class FlushProof:
    """A pointer chase before and after the flush, beside one through memory that no cache holds."""

    hot_ns: float
    cold_ns: float
    memory_ns: float

    @property
    def flushed(self) -> bool:
        """Whether the chase after the flush went to memory: at least 80 % of the way from hot to memory."""
        return self.memory_ns > self.hot_ns and self.cold_ns >= self.hot_ns + 0.8 * (
            self.memory_ns - self.hot_ns
        )


class Memory(Clocks):
    """The memory of an opened device."""

    def __init__(self, index: int = 0, **options: Any) -> None:
        super().__init__(index, **options)
        self._flush: Any = None
        self._flush_buffers: tuple[int, ...] = ()

    def close(self) -> None:
        """Free the flush's buffers and what the session holds."""
        with self.context:
            self.context.synchronize()
            for address in self._flush_buffers:
                self.driver.call("cuMemFree_v2", address)
        super().close()

    def bandwidth(self, kind: str) -> Rate:
        """Measure device memory: `read`, `write`, `copy` (both ways counted) or `triad` (three ways).

        Buffers of random bits, each at least 8 times L2 where memory allows it; bytes are those that the
        kernel asks for.

        Raises:
            ValueError: another kind.
            OutOfDeviceMemoryError: no room for the buffers.
        """
        if kind not in BANDWIDTHS:
            raise ValueError(f"bandwidth {kind!r}: one of {', '.join(BANDWIDTHS)}")
        with self.context:
            size = self.sweep_bytes()
            name = {"read": "read_sweep", "write": "write_sweep", "copy": "copy_sweep"}.get(kind, kind)
            function = self.function(name)
            grid = self.multiprocessors * function.blocks_per_sm(_BLOCK)
            with self.context.memory(size, size, size, 4 * grid * _BLOCK) as (a, b, c, folded):
                count = size // 16
                for buffer in (a, b, c):
                    self.function("fill_random").launch(buffer, count, 1, grid=grid, block=_BLOCK)()
                arguments = {
                    "read": (a, count, folded),
                    "write": (a, count, 1),
                    "copy": (a, b, count),
                    "triad": (a, b, c, 3.0, count),
                }[kind]
                launch = function.launch(*arguments, grid=grid, block=_BLOCK)
                first = self.snapshot()
                sweeps, repeats_ns = self._swept(launch)
                clock = self.clock_between(first, self.snapshot())
        ways = {"copy": 2, "triad": 3}.get(kind, 1)
        return self.rate(kind, "B/s", float(ways * size * sweeps), repeats_ns, name, clock.median_hz)

    def _swept(self, sweep: Enqueue) -> tuple[int, tuple[float, ...]]:
        """Time repeats of as many sweeps as take `target_ns`: how many, and each repeat's time."""
        sweep()
        count = max(1, min(_MOST_SWEEPS, math.ceil(self.target_ns / self.time_ns(sweep))))

        def enqueue() -> None:
            for _ in range(count):
                sweep()

        return count, tuple(self.time_ns(enqueue) for _ in range(_REPEATS))

    def sweep_bytes(self) -> int:
        """Return a sweep's buffer size: 8 times L2, at least 256 MiB, at most an eighth of what is free."""
        wanted = max(8 * self.l2_bytes, 256 << 20)
        return min(wanted, self.context.free_bytes() // 8) // 4096 * 4096

    def latency(self, kind: str) -> Latency:
        """Measure one of `LATENCIES`: a launch, a synchronisation, a block's barrier, or a level's load.

        Raises:
            ValueError: another kind.
        """
        if kind not in LATENCIES:
            raise ValueError(f"latency {kind!r}: one of {', '.join(LATENCIES)}")
        with self.context:
            if kind in {"launch", "synchronize"}:
                return self._host_latency(kind)
            if kind == "barrier":
                return self._barrier()
            if kind == "memory":
                return self._memory_latency()
            order = _L1_ORDER if kind == "l1" else self._order(self.l2_bytes // 16)
            with self._linked(order) as (lines, took):
                chase = self.function(f"chase_{kind}").launch(lines, max(_STEPS, 1 << order), took)
                chase()  # brings the lines into the level
                chase()
                return self._chased(kind, took, max(_STEPS, 1 << order))

    def flush(self, stream: int = 0) -> None:
        """Enqueue a read of twice L2, which evicts whatever was there. The context must be current."""
        if self._flush is None:
            size = -(-2 * self.l2_bytes // 4096) * 4096
            grid = self.multiprocessors * 2
            buffers: list[int] = []
            for length in (size, 4 * grid * _BLOCK):
                buffers.append(int(self.driver.read(ctypes.c_uint64, "cuMemAlloc_v2", length)))
                self._flush_buffers = tuple(buffers)
            sweep = self.function("read_sweep")
            self._flush = sweep.launch(buffers[0], size // 16, buffers[1], grid=grid, block=_BLOCK)
        self._flush.on(stream)
        self._flush()

    def time_cold_ns(self, enqueue: Enqueue, stream: int = 0) -> float:
        """Return the device time of one iteration right after a flush, both behind the gate.

        The context must be current, and a flush must have run: the first one allocates.

        Raises:
            GateExpiredError: the host was too slow; nothing is returned.
        """
        return self.time_gated_ns(enqueue, stream=stream, before=lambda: self.flush(stream))

    def flush_proof(self) -> FlushProof:
        """Chase pointers through lines that L2 holds, flush, and chase again (docs/method.md, section 2)."""
        with self.context:
            order = self._order(self.l2_bytes // 16)
            with self._linked(order) as (lines, took):
                steps = 1 << order
                chase = self.function("chase_l2").launch(lines, steps, took)
                chase()
                chase()
                hot = self._chased("l2", took, steps)
                self.flush()
                chase()
                cold = self._chased("l2", took, steps)
            memory = self._memory_latency()
        return FlushProof(hot.ns, cold.ns, memory.ns)

    def copy(self, direction: str, *, size: int = 64 << 20) -> Rate:
        """Measure copies by the driver: `h2d` and `d2h` with pinned host memory, `d2d`, `p2p:N` to device N.

        Raises:
            ValueError: another direction, or device N cannot be reached directly.
        """
        peer = _peer(direction)
        with self.context, self.context.memory(size, size) as (a, b):
            if peer is not None:
                return self._copy_to_peer(direction, peer, a, size)
            if direction == "d2d":
                return self._copied(direction, "cuMemcpyDtoDAsync_v2", (a, b, size, 0), 2 * size)
            host = int(self.driver.read(ctypes.c_uint64, "cuMemHostAlloc", size, 0))
            try:
                if direction == "h2d":
                    return self._copied(direction, "cuMemcpyHtoDAsync_v2", (a, host, size, 0), size)
                return self._copied(direction, "cuMemcpyDtoHAsync_v2", (host, a, size, 0), size)
            finally:
                self.driver.call("cuMemFreeHost", host)

    def _copy_to_peer(self, direction: str, peer: int, source: int, size: int) -> Rate:
        other = Context(self.driver, peer)
        try:
            reachable = ctypes.c_int()
            self.driver.call(
                "cuDeviceCanAccessPeer", ctypes.byref(reachable), self.context.device, other.device
            )
            if not reachable.value:
                raise ValueError(f"device {self.context.index} cannot reach device {peer} directly")
            self._enable(other)
            with other, other.memory(size) as (target,), self.context:
                call = (target, other.handle, source, self.context.handle, size, 0)
                return self._copied(direction, "cuMemcpyPeerAsync", call, size)
        finally:
            other.close()

    def _enable(self, other: Context) -> None:
        """Let this device reach the other's memory; without, the driver would go by way of the host."""
        try:
            self.driver.call("cuCtxEnablePeerAccess", other.handle, 0)
        except CudaError as error:
            if error.code != _ALREADY_ENABLED:
                raise

    def _copied(self, direction: str, name: str, arguments: tuple[int, ...], moved: int) -> Rate:
        def enqueue() -> None:
            self.driver.call(name, *arguments)

        copies, repeats_ns = self._swept(enqueue)
        return self.rate(direction, "B/s", float(moved * copies), repeats_ns, name)

    def _host_latency(self, kind: str) -> Latency:
        launch = self.function("empty").launch()
        samples = []
        for _ in range(5 * _REPEATS):
            self.context.synchronize()
            begin = time.perf_counter_ns()
            launch()
            if kind == "synchronize":
                self.context.synchronize()
            samples.append(time.perf_counter_ns() - begin)
        return Latency(kind, median(samples))

    def _barrier(self) -> Latency:
        with self.context.memory(16) as (took,):
            launch = self.function("barrier").launch(_STEPS, took, block=1024)
            launch()
            clock = self.clocked(launch)
            cycles = self.read_u64(took, 1)[0] / _STEPS
        return Latency("barrier", cycles / clock.median_hz * 1e9, cycles)

    def _memory_latency(self) -> Latency:
        order = self._order(min(4 * self.l2_bytes, self.context.free_bytes() // 4))
        steps = min(1 << order, 1 << 14)  # each line once: none comes from a cache
        with self._linked(order) as (lines, took):
            self.flush()
            self.function("chase_l2").launch(lines, steps, took)()
            return self._chased("memory", took, steps)

    def _chased(self, kind: str, took: int, steps: int) -> Latency:
        cycles, elapsed_ns, _last = self.read_u64(took, 3)
        return Latency(kind, elapsed_ns / steps, cycles / steps)

    @contextmanager
    def _linked(self, order: int) -> Iterator[tuple[int, int]]:
        """Allocate 2^order lines linked into one ring, and three words for a chase's result."""
        with self.context.memory(4 * LINE_WORDS << order, 24) as (lines, took):
            link = self.function("chase_link")
            link.launch(lines, order, LINE_WORDS, grid=self.multiprocessors, block=_BLOCK)()
            yield lines, took

    @staticmethod
    def _order(size: int) -> int:
        """Return the order of the largest ring of lines within `size` bytes, at least 16 lines."""
        return max(4, (size // (4 * LINE_WORDS)).bit_length() - 1)


def _peer(direction: str) -> int | None:
    kind, _, number = direction.partition(":")
    if kind == "p2p" and number.isdecimal():
        return int(number)
    if direction not in {"h2d", "d2h", "d2d"}:
        raise ValueError(f"copy {direction!r}: one of h2d, d2h, d2d, p2p:N")
    return None
