"""Clocks, devices, streams and events whose time moves only when a step says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from harness.devices.base import Counters
from harness.devices.cpu import CpuDevice
from harness.devices.timeline import EventTimeline
from harness.timing import TimingSettings

QUICK = TimingSettings(
    seconds=1.0, min_iterations=3, warmup_s=0.1, warmup_iterations=3, warmup_cap_s=5.0,
    steady_window_s=0.1, steady_tolerance=0.0025, target=0.05,
)  # fmt: skip
"""A span of one second after a warm-up of 0.1 s."""


class ScriptedClock:
    """Host clocks that stand still until `work`."""

    def __init__(self) -> None:
        self.now = 1_000
        self.cpu = 0
        self.switches = 0
        self.cpu_reads = 0
        self.waited: int | None = None

    def now_ns(self) -> int:
        """Return scripted time."""
        return self.now

    def cpu_ns(self) -> int:
        """Return scripted CPU time, and count the reading."""
        self.cpu_reads += 1
        return self.cpu

    def involuntary(self) -> int:
        """Return scripted switches."""
        return self.switches

    def watching(self) -> AbstractContextManager[None]:
        """Watch scripted threads."""
        return nullcontext()

    def waited_ns(self) -> int | None:
        """Return the scripted run-queue delay of a team; None where no script reports it."""
        return self.waited

    def work(
        self, wall_ns: int, *, cpu_ns: int | None = None, switches: int = 0, waited_ns: int | None = None
    ) -> None:
        """Let time pass; the thread is on its CPU throughout unless set otherwise."""
        if waited_ns is not None:
            self.waited = (self.waited or 0) + waited_ns
        self.now += wall_ns
        self.cpu += wall_ns if cpu_ns is None else cpu_ns
        self.switches += switches


class ScriptedDevice(CpuDevice):
    """A CPU whose counters follow the scripted clock; the hypervisor steals some of the machine's jiffies."""

    stolen_percent = 10

    def __init__(self, clock: ScriptedClock, log: list[str]) -> None:
        super().__init__()
        self.clock = clock
        self.log = log

    def synchronize(self) -> None:
        """Wait, and note it."""
        self.log.append("synchronize")

    def counters(self) -> Counters:
        """Count what the clock says; the kernel counts whole milliseconds."""
        total = self.clock.now // 1_000_000
        return Counters(self.clock.cpu, self.clock.switches, total * self.stolen_percent // 100, total)


class ScriptedStream:
    """An accelerator that works behind the host: launching costs the host 1 µs, the work is queued."""

    def __init__(self, clock: ScriptedClock) -> None:
        self.clock = clock
        self.done_ns = 0

    def launch(self, work_ns: int) -> None:
        """Queue work."""
        self.clock.work(1_000)
        self.done_ns = max(self.done_ns, self.clock.now) + work_ns


class ScriptedEvent:
    """Notes when the stream gets to it, as `torch.cuda.Event` does."""

    def __init__(self, stream: ScriptedStream) -> None:
        self.stream = stream
        self.at_ns: int | None = None

    def record(self) -> None:
        """Note the moment when the queue gets here."""
        self.at_ns = max(self.stream.done_ns, self.stream.clock.now)

    def elapsed_time(self, end: ScriptedEvent) -> float:
        """Return milliseconds, once both moments have passed."""
        assert self.at_ns is not None
        assert end.at_ns is not None
        assert self.stream.clock.now >= end.at_ns, "read before the device was synchronised"
        return (end.at_ns - self.at_ns) / 1e6


class ScriptedAccelerator(ScriptedDevice):
    """A device timed by events."""

    def __init__(self, clock: ScriptedClock, log: list[str], stream: ScriptedStream) -> None:
        super().__init__(clock, log)
        self.stream = stream

    def synchronize(self) -> None:
        """Wait, and note it."""
        super().synchronize()
        self.clock.now = max(self.clock.now, self.stream.done_ns)

    def timeline(self, capacity: int, now: Callable[[], int]) -> EventTimeline:
        """Return a recorder by scripted events."""
        return EventTimeline(capacity, now, lambda: ScriptedEvent(self.stream))

    def tick_ns(self, now: Callable[[], int]) -> int:
        """Return the tick of an H200."""
        return 32
