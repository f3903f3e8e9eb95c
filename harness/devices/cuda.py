"""NVIDIA devices through torch, timed by events on the current stream."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.devices.base import Device, DeviceError, Pass, Peak, Watch
from harness.devices.cpu import set_threads, thread_facts
from harness.devices.peaks import dense_peak
from harness.devices.timeline import Event, EventTimeline, Now, Timeline, smallest_step
from harness.system import host
from harness.system.torch_build import torch_build

if TYPE_CHECKING:
    import torch

LIBRARY = "libcuda.so.1"
PROBE_TIMEOUT_S = 60
# cuInit in this process would break every worker forked from it later, so a child asks.
_PROBE = """
import ctypes, sys
cuda = ctypes.CDLL(sys.argv[1])
code = cuda.cuInit(0)
if code:
    name = ctypes.c_char_p()
    cuda.cuGetErrorName(code, ctypes.byref(name))
    sys.exit(f"the CUDA driver does not start: {(name.value or b'error %d' % code).decode()}")
count = ctypes.c_int()
code = cuda.cuDeviceGetCount(ctypes.byref(count))
if code:
    sys.exit(f"the CUDA driver counts no devices: error {code}")
print(count.value)
"""


class CudaDevice(Device):
    """One CUDA device, as torch numbers them."""

    kind = "cuda"

    @property
    def torch_device(self) -> str:
        """Name it as torch does."""
        return f"cuda:{self.index}"

    @classmethod
    def unavailable_reason(cls, index: int = 0) -> str | None:
        """Ask torch's version file, then the driver; honours `CUDA_VISIBLE_DEVICES`."""
        reason = torch_build_reason()
        if reason is not None:
            return reason
        count = driver_device_count(LIBRARY)
        if isinstance(count, str):
            return count
        if index >= count:
            return f"no device cuda:{index}: the driver shows {count}"
        return None

    def open(self) -> None:
        """Create the context and set torch's threads."""
        import torch

        set_threads(self.threads)
        try:
            torch.cuda.set_device(self.index)
            torch.zeros(1, device=self.torch_device)  # creates the context
            self.synchronize()
        except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
            raise DeviceError(f"{self.torch_device} does not open: {str(error).splitlines()[0]}") from error

    def synchronize(self) -> None:
        """Wait for every stream of the device."""
        import torch

        torch.cuda.synchronize(self.index)

    def reset_peak_memory(self) -> None:
        """Let the allocator's peaks, and the host's, start from now."""
        import torch

        torch.cuda.reset_peak_memory_stats(self.index)
        host.reset_peak_rss()

    def memory(self) -> dict[str, int | None]:
        """Return the peaks of torch's allocator on the device, and of the host's memory."""
        import torch

        return {
            "peak_allocated": torch.cuda.max_memory_allocated(self.index),
            "peak_reserved": torch.cuda.max_memory_reserved(self.index),
            "peak_rss": host.peak_rss_bytes(),
        }

    def facts(self) -> dict[str, Any]:
        """Return the device, its driver and runtime, and the host's threads."""
        import torch

        properties = self._properties()
        return {
            "kind": self.kind,
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            "cuda_driver": _driver_version(),
            "cuda_runtime": torch.version.cuda,
            **thread_facts(),
        }

    def timeline(self, capacity: int, now: Now) -> Timeline:
        """Return a recorder by events on the current stream."""
        return EventTimeline(capacity, now, _new_event)

    def tick_ns(self, now: Now) -> int | None:
        """Record 512 events back to back and take the smallest step between them."""
        probe = self.timeline(512, now)
        self.synchronize()
        probe.start()
        for _ in range(512):
            probe.stamp()
        self.synchronize()
        return smallest_step(probe.durations_ns())

    def watch(self) -> Watch:
        """Return a watch over the clock of every SM, by the shim."""
        from harness.devices.cuda_watch import SmWatch

        return SmWatch(self.index)

    def gated(self, iterate: Callable[[], object], period_ns: float) -> Pass:
        """Hold torch's current stream by the shim's gate."""
        from harness.devices.cuda_passes import gated

        return gated(self.index, iterate, period_ns, stream=self._stream())

    def cold(self, iterate: Callable[[], object], period_ns: float) -> Pass:
        """Flush and gate torch's current stream by the shim."""
        from harness.devices.cuda_passes import cold

        return cold(self.index, iterate, period_ns, stream=self._stream())

    def dense_peak(self, precision: str) -> Peak:
        """Look the device's exact name up in `peaks.py`."""
        return dense_peak(self._properties().name, precision)

    def hardware_id(self) -> str | None:
        """Return the UUID, as NVML writes it."""
        return f"GPU-{self._properties().uuid}"

    def _stream(self) -> int:
        import torch

        return int(torch.cuda.current_stream(self.index).cuda_stream)

    def _properties(self) -> torch._C._CudaDeviceProperties:
        import torch

        return torch.cuda.get_device_properties(self.index)


def torch_build_reason() -> str | None:
    """Return why the installed torch cannot use CUDA, from the text of its version file, or None."""
    build = torch_build()
    if build is None:
        return "torch is not installed"
    return None if build.cuda is not None else f"the installed torch {build.version} is built without CUDA"


@cache
def driver_device_count(library: str) -> int | str:
    """Return how many devices the CUDA driver shows, or why it shows none. Asks a child, once."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return f"no NVIDIA driver: {library} is not installed"
    try:
        asked = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROBE, library],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the CUDA driver does not answer within {PROBE_TIMEOUT_S} s"
    if asked.returncode != 0:
        lines = asked.stderr.strip().splitlines()
        return lines[-1] if lines else f"the CUDA driver ended its probe with {asked.returncode}"
    return int(asked.stdout)


def _driver_version() -> str | None:
    version = ctypes.c_int()
    if ctypes.CDLL(LIBRARY).cuDriverGetVersion(ctypes.byref(version)):
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _new_event() -> Event:
    import torch

    event: Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    return event
