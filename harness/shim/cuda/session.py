"""What every CUDA measurement needs: the context, the kernels, buffers, events and the gate."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from harness.shim.cuda import driver as cuda_driver
from harness.shim.cuda.driver import Context
from harness.shim.cuda.images import SPECIFIC, image_for
from harness.shim.cuda.launch import Function, Launch, Module
from harness.shim.cuda.stamps import median
from harness.shim.errors import GateExpiredError

Enqueue = Callable[[], object]
MOST_GATED = 128
"""Iterations behind one gate: more could fill the launch queue, and then the host waits for ever."""
OPENED, EXPIRED = 1, 2
_MAPPED = 2
_address, _u32, _u64, _f32, _f64 = (
    ctypes.c_uint64,
    ctypes.c_uint32,
    ctypes.c_uint64,
    ctypes.c_float,
    ctypes.c_double,
)
_chains = (_address, _u32, _u32, _u32)
KERNELS: dict[str, tuple[str, tuple[type[Any], ...]]] = {
    "empty": ("timing", ()),
    "tick_probe": ("timing", (_address, _u32, _u32)),
    "stamp": ("timing", (_address, _address, _u32, _u32)),
    "gate": ("timing", (_address, _address, _u64)),
    "spin": ("timing", (_u64, _address)),
    "barrier": ("timing", (_u32, _address)),
    "fill_random": ("memory", (_address, _u64, _u32)),
    "read_sweep": ("memory", (_address, _u64, _address)),
    "write_sweep": ("memory", (_address, _u64, _u32)),
    "copy_sweep": ("memory", (_address, _address, _u64)),
    "triad": ("memory", (_address, _address, _address, _f32, _u64)),
    "chase_link": ("memory", (_address, _u32, _u32)),
    "chase_l1": ("memory", (_address, _u32, _address)),
    "chase_l2": ("memory", (_address, _u32, _address)),
    "fma_f32": ("arithmetic", (_address, _f32, _f32, _u32)),
    "fma_f64": ("arithmetic", (_address, _f64, _f64, _u32)),
    "mad_i32": ("arithmetic", _chains),
    **{
        f"{unit}_{kind}": (unit, _chains)
        for unit in ("mma", *SPECIFIC)
        for kind in ("bf16", "fp16", "tf32", "int8", "fp8")
    },
}
"""By kernel: its unit, and its parameters' types in order."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured rate: how much work, how often it was repeated, at which clock."""

    kind: str
    value: float
    unit: str
    """`B/s`, `FLOP/s`, or `op/s` for integers."""
    work: float
    """Bytes or operations of one repeat."""
    repeats_ns: tuple[float, ...]
    """Device time of each repeat, by events; `value` is work over their median."""
    path: str
    """The kernel or driver call that did it."""
    sm_hz: float | None = None
    """Median SM clock while it ran."""
    per_clock_per_sm: float | None = None


class CudaSession:
    """An opened device with our kernels. Not for several threads at once.

    Args:
        index: Which device, as `CUDA_VISIBLE_DEVICES` leaves them.
        library: The driver's library.
        target_ns: How long one repeat of a measurement runs at least, so that edges weigh little.

    Raises:
        ShimError: its subclass says why the device cannot be used.
    """

    def __init__(
        self, index: int = 0, *, library: str = cuda_driver.LIBRARY, target_ns: int = 10_000_000
    ) -> None:
        cuda_driver.refuse_profiler()
        self.driver = cuda_driver.load(library)
        self.context = Context(self.driver, index)
        self.target_ns = target_ns
        self.multiprocessors = self.context.attributes["multiprocessors"]
        self.l2_bytes = self.context.attributes["l2_bytes"]
        self._modules: dict[str, Module] = {}
        self._functions: dict[str, Function] = {}
        with self.context:
            self._flags = int(self.driver.read(_u64, "cuMemHostAlloc", 64, _MAPPED))
            flags = int(self.driver.read(_u64, "cuMemHostGetDevicePointer_v2", self._flags, 0))
            self._events = tuple(int(self.driver.read(_u64, "cuEventCreate", 0)) for _ in range(2))
            self._opened = ctypes.c_uint32.from_address(self._flags)
            self._outcome = ctypes.c_uint32.from_address(self._flags + 4)
            self._gate = self.function("gate").launch(flags, flags + 4, 0)

    def close(self) -> None:
        """Free what the session holds. The context lives on while torch holds it."""
        with self.context:
            self.context.synchronize()
            for event in self._events:
                self.driver.call("cuEventDestroy_v2", event)
            self.driver.call("cuMemFreeHost", self._flags)
            for module in self._modules.values():
                self.driver.call("cuModuleUnload", module.handle)
        self.context.close()

    def __enter__(self) -> Self:
        """Return itself; it is open already."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close it."""
        self.close()

    def function(self, name: str) -> Function:
        """Return a kernel, loading its image on first use; the context must be current.

        Raises:
            ArchitectureError: no image of it fits this device.
        """
        if name not in self._functions:
            unit, types = KERNELS[name]
            if unit not in self._modules:
                self._modules[unit] = Module(self.context, image_for(unit, self.context.capability))
            self._functions[name] = Function(self._modules[unit], name, types)
        return self._functions[name]

    def facts(self) -> dict[str, Any]:
        """Return the device, the driver, and where each loaded image came from, as JSON values."""
        return {
            "name": self.context.name,
            "capability": "{}.{}".format(*self.context.capability),
            "multiprocessors": self.multiprocessors,
            "l2_bytes": self.l2_bytes,
            "driver_cuda_version": self.driver.version,
            "images": {
                unit: f"{module.image.kind} {module.image.architecture}, {module.image.origin}"
                for unit, module in sorted(self._modules.items())
            },
        }

    def read(self, address: int, size: int, stream: int = 0) -> bytes:
        """Copy device memory to the host, after what is enqueued on the stream."""
        buffer = ctypes.create_string_buffer(size)
        self.driver.call("cuMemcpyDtoHAsync_v2", ctypes.addressof(buffer), address, size, stream)
        self.driver.call("cuStreamSynchronize", stream)
        return buffer.raw

    def read_u64(self, address: int, count: int, stream: int = 0) -> list[int]:
        """Copy `count` 64-bit words to the host."""
        return list((ctypes.c_uint64 * count).from_buffer_copy(self.read(address, 8 * count, stream)))

    def clear(self, address: int, size: int, stream: int = 0) -> None:
        """Set device memory to zero bytes."""
        self.driver.call("cuMemsetD8Async", address, 0, size, stream)

    def time_ns(self, enqueue: Enqueue, stream: int = 0) -> float:
        """Return the device time by events around what `enqueue` puts on the stream."""
        begin, end = self._events
        self.driver.call("cuEventRecord", begin, stream)
        enqueue()
        self.driver.call("cuEventRecord", end, stream)
        return self._elapsed_ns()

    def time_gated_ns(
        self, enqueue: Enqueue, iterations: int = 1, stream: int = 0, *, before: Enqueue | None = None
    ) -> float:
        """Return the device time of work that was enqueued whole before any of it ran.

        What `before` enqueues also stands behind the gate, and is not in the time.

        Raises:
            GateExpiredError: the host was too slow; nothing is returned.
        """
        begin, end = self._events
        with self.gate(iterations, stream=stream):
            if before is not None:
                before()
            self.driver.call("cuEventRecord", begin, stream)
            enqueue()
            self.driver.call("cuEventRecord", end, stream)
        return self._elapsed_ns()

    @contextmanager
    def gate(self, iterations: int, *, stream: int = 0, deadline_ns: int = 100_000_000) -> Iterator[None]:
        """Hold the stream while the body enqueues `iterations` of work, then let it run, and wait for it.

        Raises:
            ValueError: more than `MOST_GATED` iterations.
            GateExpiredError: the deadline passed first. The work ran, but not gated.
        """
        if not 1 <= iterations <= MOST_GATED:
            raise ValueError(f"{iterations} iterations behind a gate; 1 to {MOST_GATED} are possible")
        self._opened.value = self._outcome.value = 0
        self._gate.set(2, deadline_ns)
        self._gate.on(stream)
        self._gate()
        try:
            yield
        finally:
            self._opened.value = 1
            self.driver.call("cuStreamSynchronize", stream)
        if self._outcome.value == EXPIRED:
            raise GateExpiredError(f"the host took over {deadline_ns / 1e6:g} ms to enqueue behind the gate")

    def repeats(self, launch: Launch, position: int, repeats: int = 5) -> tuple[int, tuple[float, ...]]:
        """Raise a launch's loop count, argument `position`, until a run takes `target_ns`; time repeats.

        Returns:
            The loop count and the time of each repeat in ns.
        """
        count = 1
        while True:
            launch.set(position, count)
            took_ns = self.time_ns(launch)
            if took_ns >= self.target_ns or count >= 1 << 30:
                break
            missing = 1.1 * self.target_ns / took_ns if took_ns > 0 else 16.0
            count = min(1 << 30, int(count * min(16.0, max(1.2, missing))) + 1)
        return count, tuple(self.time_ns(launch) for _ in range(repeats))

    def rate(
        self,
        kind: str,
        unit: str,
        work: float,
        repeats_ns: tuple[float, ...],
        path: str,
        sm_hz: float | None = None,
    ) -> Rate:
        """Return work over the median repeat, also by clock and SM where the clock is known."""
        value = work / median(repeats_ns) * 1e9
        by_clock = None if sm_hz is None else value / (sm_hz * self.multiprocessors)
        return Rate(kind, value, unit, work, repeats_ns, path, sm_hz, by_clock)

    def _elapsed_ns(self) -> float:
        begin, end = self._events
        self.driver.call("cuEventSynchronize", end)
        return float(self.driver.read(ctypes.c_float, "cuEventElapsedTime", begin, end)) * 1e6
