"""The CPU as a device: work is done when its call returns, and the host's clock is its own."""

from __future__ import annotations

import os
from typing import Any

from harness.devices.base import Device, DeviceError, Peak
from harness.devices.timeline import HostTimeline, Now, Timeline, clock_step
from harness.system import host
from harness.system.native import NotBuiltError
from harness.system.threads import wait_of

SWEEP = 1 << 23
"""Doubles of each thread's sweep: 64 MiB, more than a core's share of a cache."""


class CpuDevice(Device):
    """The processors that this process may use, as one device."""

    kind = "cpu"
    _peak_since_reset = False

    @property
    def torch_device(self) -> str:
        """Name it as torch does."""
        return "cpu"

    @classmethod
    def unavailable_reason(cls, index: int = 0) -> str | None:
        """Return None: there is always a CPU, and only index 0."""
        return None if index == 0 else f"no device cpu:{index}: the CPU is one device, index 0"

    def open(self) -> None:
        """Set torch's threads; nothing else needs opening."""
        set_threads(self.threads)

    def synchronize(self) -> None:
        """Return at once: CPU work is done when its call returns."""

    def reset_peak_memory(self) -> None:
        """Let the peak of resident memory start from now, where the kernel allows it."""
        self._peak_since_reset = host.reset_peak_rss()

    def memory(self) -> dict[str, int | None]:
        """Return the peak of resident memory; torch's CPU allocator keeps no peaks."""
        return {"peak_allocated": None, "peak_reserved": None, "peak_rss": host.peak_rss_bytes()}

    def facts(self) -> dict[str, Any]:
        """Return the processor, its threads, and since when the peak of memory counts."""
        import torch

        return {
            "kind": self.kind,
            "name": host.cpu_name(),
            **thread_facts(),
            "instruction_set": torch.backends.cpu.get_cpu_capability(),
            "peak_rss_since": "reset" if self._peak_since_reset else "process start",
        }

    def timeline(self, capacity: int, now: Now) -> Timeline:
        """Return a recorder on the host's clock."""
        return HostTimeline(capacity, now)

    def tick_ns(self, now: Now) -> int | None:
        """Read the clock 4096 times and take its smallest step."""
        return clock_step(now)

    def read_bandwidth_b_s(self) -> float:
        """Sweep the shim's arrays by as many threads as torch has; the fastest of three sweeps.

        Raises:
            DeviceError: the shim's routines cannot be built or run here.
        """
        import torch

        from harness.shim.cpu import routines

        threads = torch.get_num_threads()
        try:
            swept = routines.run("sum", SWEEP, [routines.NOT_PINNED] * threads, 3)
        except (NotBuiltError, routines.CpuShimError) as error:
            raise DeviceError(f"no read sweep: {error}") from error
        return 8e9 * SWEEP * threads / min(swept.wall_ns)

    def dense_peak(self, precision: str) -> Peak:
        """Return the reason: the peak of a CPU depends on clocks that no vendor states."""
        return Peak(None, reason=f"no vendor states a dense {precision} peak for this CPU")


def set_threads(threads: int | None) -> None:
    """Set torch's threads within an operation, and one between operations.

    Raises:
        DeviceError: torch has already run operations with another number of threads between them.
    """
    import torch

    torch.set_num_threads(threads or host.usable_cores())
    if torch.get_num_interop_threads() != 1:
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError as error:
            raise DeviceError(
                f"interop threads stay at {torch.get_num_interop_threads()}: {error}"
            ) from error


def thread_facts() -> dict[str, int | float | str | None]:
    """Return the threads that torch uses, how they wait, and the CPUs that the system grants."""
    import torch

    cpus = os.sched_getaffinity(0)
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "logical_cpus": len(cpus),
        "physical_cores": host.physical_cores(cpus),
        "cpu_quota": host.cpu_quota(),
        "wait": wait_of(os.environ),
    }
