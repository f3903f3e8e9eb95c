"""The host's clocks, behind a protocol so that tests can script time."""

from __future__ import annotations

import time
from resource import RUSAGE_THREAD, getrusage
from typing import Protocol


class Clock(Protocol):
    """What a measurement reads of the host, for the thread that runs the steps."""

    def now_ns(self) -> int:
        """Return the monotonic time in ns."""

    def cpu_ns(self) -> int:
        """Return the CPU time of the calling thread in ns."""

    def involuntary(self) -> int:
        """Return how often the calling thread was taken off its CPU."""


class HostClock:
    """The operating system's clocks."""

    now_ns = staticmethod(time.perf_counter_ns)
    cpu_ns = staticmethod(time.thread_time_ns)

    @staticmethod
    def involuntary() -> int:
        """Return the involuntary context switches of the calling thread."""
        return getrusage(RUSAGE_THREAD).ru_nivcsw
