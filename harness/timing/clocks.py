"""The host's clocks, behind a protocol so that tests can script time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
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

    def watching(self) -> AbstractContextManager[None]:
        """Watch the threads of this process within, for `waited_ns`."""

    def waited_ns(self) -> int | None:
        """Return how long the team's threads were ready without a CPU, summed; None where that is unknown."""


TEAM_LIMIT = 16
"""Threads watched at most: a reading takes about 2 µs per thread, and comes every few milliseconds."""


class HostClock:
    """The operating system's clocks.

    Args:
        tasks: The kernel's folder of this process's threads.
    """

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        self._tasks = tasks
        self._team: list[int] = []

    now_ns = staticmethod(time.perf_counter_ns)
    cpu_ns = staticmethod(time.thread_time_ns)

    @staticmethod
    def involuntary() -> int:
        """Return the involuntary context switches of the calling thread."""
        return getrusage(RUSAGE_THREAD).ru_nivcsw

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the threads that this process has now, if they are `TEAM_LIMIT` or fewer."""
        team: list[int] = []
        with suppress(OSError):
            tasks = sorted(task.name for task in self._tasks.iterdir())
            if len(tasks) <= TEAM_LIMIT:
                team = [os.open(self._tasks / task / "schedstat", os.O_RDONLY) for task in tasks]
        self._team = team
        try:
            yield
        finally:
            self._team = []
            for fd in team:
                os.close(fd)

    def waited_ns(self) -> int | None:
        """Return the run-queue delay of the watched threads in ns; None where none is watched."""
        return sum(int(os.pread(fd, 96, 0).split()[1]) for fd in self._team) if self._team else None
