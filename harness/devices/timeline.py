"""When iterations began and ended, on the host's clock or by events on a device's stream.

A timeline allocates before the measured span and only stores within it.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Now = Callable[[], int]
Nanoseconds = npt.NDArray[np.int64]
UNMARKED = -1
"""In an array of marks: the iteration passed no such mark."""


class Event(Protocol):
    """The part of `torch.cuda.Event` that a timeline uses."""

    def record(self) -> None:
        """Note the moment when the current stream gets here."""

    def elapsed_time(self, end: Any, /) -> float:
        """Return the milliseconds from this event to `end`, both completed."""


class Timeline(abc.ABC):
    """Records up to `capacity` consecutive samples; `start` begins anew."""

    clock: ClassVar[str]
    """What time it is: `host` or `device events`."""
    paced_by_host: ClassVar[bool]
    """True when the host's clock shows how far the work has come, so that a span can end by time."""
    in_thread: ClassVar[bool] = False
    """True when the work runs in the thread that calls the steps, whose CPU time then shows it."""
    ends: memoryview | None = None
    """Where samples' ends are stored, by the host's clock: a loop that cannot afford to call `stamp` stores
    there itself, and counts in `count`. None where a stamp is more than that."""

    def __init__(self, capacity: int, now: Now) -> None:
        self.capacity = capacity
        self.now = now
        self.count = 0

    @abc.abstractmethod
    def start(self) -> int:
        """Begin: the first sample starts now. Returns the host's time in ns."""

    @abc.abstractmethod
    def stamp(self) -> int:
        """End a sample and begin the next. Returns the host's time in ns.

        Raises:
            IndexError: more samples than `capacity`.
        """

    @abc.abstractmethod
    def mark(self, name: str) -> None:
        """Note a moment within the current sample. The first use of a name allocates its array."""

    @abc.abstractmethod
    def reserve(self, names: tuple[str, ...]) -> None:
        """Allocate for these marks ahead of the span."""

    def launches_ns(self) -> Nanoseconds | None:
        """Return how long each sample's calls ran before its fence; None where samples are not fenced."""
        return None

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """The marks reserved or passed so far."""

    @abc.abstractmethod
    def durations_ns(self) -> Nanoseconds:
        """Return the durations of the samples, shape (count,). The device must be synchronised."""

    @abc.abstractmethod
    def marks_ns(self) -> dict[str, Nanoseconds]:
        """Return per mark its time from its sample's start, shape (count,), `UNMARKED` where not passed."""


class HostTimeline(Timeline):
    """Times by the host's clock: right where work is done when its call returns."""

    clock = "host"
    paced_by_host = True
    in_thread = True

    def __init__(self, capacity: int, now: Now) -> None:
        super().__init__(capacity, now)
        # Written once here, so that no page fault falls within the span.
        self._ends = np.full(capacity, UNMARKED, np.int64)
        # A memoryview stores three times faster than an array; numpy's types do not say that it is a buffer.
        self.ends = self._store = memoryview(self._ends)  # type: ignore[arg-type]
        self._marks: dict[str, Nanoseconds] = {}
        self._start = 0

    def start(self) -> int:
        """Begin anew at the clock's present."""
        self.count = 0
        for times in self._marks.values():
            times.fill(UNMARKED)
        self._start = self.now()
        return self._start

    def stamp(self) -> int:
        """Store the clock's present."""
        now = self.now()
        self._store[self.count] = now
        self.count += 1
        return now

    def mark(self, name: str) -> None:
        """Store the clock's present under a name."""
        now = self.now()
        if name not in self._marks:
            self.reserve((name,))
        self._marks[name][self.count] = now

    def reserve(self, names: tuple[str, ...]) -> None:
        """Allocate an array for each name."""
        for name in names:
            self._marks[name] = np.full(self.capacity, UNMARKED, np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """List what has been allocated."""
        return tuple(self._marks)

    def _starts(self) -> Nanoseconds:
        return np.concatenate(([self._start], self._ends[: self.count]))[: self.count]

    def durations_ns(self) -> Nanoseconds:
        """Subtract neighbours."""
        return self._ends[: self.count] - self._starts()

    def marks_ns(self) -> dict[str, Nanoseconds]:
        """Subtract each sample's start."""
        starts = self._starts()
        passed = {name: times[: self.count] for name, times in self._marks.items()}
        return {
            name: np.where(times == UNMARKED, UNMARKED, times - starts)
            for name, times in passed.items()
            if (times != UNMARKED).any()
        }


class FencedTimeline(HostTimeline):
    """Times by the host's clock, and ends a sample when all that it launched is done.

    Args:
        capacity: Samples at most.
        now: The host's clock in ns.
        fence: Waits for the device.
    """

    in_thread = False

    def __init__(self, capacity: int, now: Now, fence: Callable[[], None]) -> None:
        super().__init__(capacity, now)
        self.ends = None  # a stamp is more than a store
        self._fence = fence
        self._launched = np.full(capacity, UNMARKED, np.int64)

    def stamp(self) -> int:
        """Note when the calls had returned, wait, and store the clock's present."""
        self._launched[self.count] = self.now()
        self._fence()
        return super().stamp()

    def launches_ns(self) -> Nanoseconds:
        """Subtract each sample's start."""
        return self._launched[: self.count] - self._starts()


class EventTimeline(Timeline):
    """Times by events on the current stream, read after the span: the host never waits within it.

    Args:
        capacity: Samples at most; each takes one event, and one for every mark.
        now: The host's clock in ns.
        new_event: Makes a timing event (`torch.cuda.Event`).
    """

    clock = "device events"
    paced_by_host = False

    def __init__(self, capacity: int, now: Now, new_event: Callable[[], Event]) -> None:
        super().__init__(capacity, now)
        self._new_event = new_event
        self._events = [new_event() for _ in range(capacity + 1)]
        self._marks: dict[str, list[Event]] = {}
        self._passed: dict[str, bytearray] = {}

    def start(self) -> int:
        """Record the first event."""
        self.count = 0
        for passed in self._passed.values():
            passed[:] = bytes(self.capacity)
        self._events[0].record()
        return self.now()

    def stamp(self) -> int:
        """Record the next event."""
        self._events[self.count + 1].record()
        self.count += 1
        return self.now()

    def mark(self, name: str) -> None:
        """Record this sample's event of that name."""
        if name not in self._marks:
            self.reserve((name,))
        self._marks[name][self.count].record()
        self._passed[name][self.count] = 1

    def reserve(self, names: tuple[str, ...]) -> None:
        """Make an event for each sample and name."""
        for name in names:
            self._marks[name] = [self._new_event() for _ in range(self.capacity)]
            self._passed[name] = bytearray(self.capacity)

    @property
    def names(self) -> tuple[str, ...]:
        """List what has been allocated."""
        return tuple(self._marks)

    def durations_ns(self) -> Nanoseconds:
        """Read neighbouring events; the device must have passed them."""
        events = self._events[: self.count + 1]
        return np.array([_ns(begin.elapsed_time(end)) for begin, end in pairwise(events)], np.int64)

    def marks_ns(self) -> dict[str, Nanoseconds]:
        """Read each mark against its sample's start; the device must have passed them."""
        times = {}
        for name, events in self._marks.items():
            passed = self._passed[name]
            if not any(passed[: self.count]):
                continue
            times[name] = np.array(
                [
                    _ns(self._events[i].elapsed_time(events[i])) if passed[i] else UNMARKED
                    for i in range(self.count)
                ],
                np.int64,
            )
        return times


def clock_step(now: Now) -> int | None:
    """Return the step in ns of the host's clock, by 4096 neighbouring readings; None when it stands still."""
    readings: Nanoseconds = np.fromiter(iter(now, None), np.int64, 4097)
    return smallest_step(readings[1:] - readings[:-1])


def smallest_step(durations_ns: Nanoseconds) -> int | None:
    """Return the clock's step in ns: the least distance between distinct durations, nothing among them.

    A clock that moves by its tick shows only multiples of it. None when it never moved.
    """
    levels = np.unique(np.append(durations_ns, 0))
    return int(np.diff(levels).min()) if len(levels) > 1 else None


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1e6)
