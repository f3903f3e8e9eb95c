"""What stamps and clocks mean: the tick, the clock of every SM, throttling, and when a soak is steady.

Pure functions over what the kernels wrote (docs/method.md, sections 2 and 3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


def median(values: Iterable[float]) -> float:
    """Return the median; `statistics` would take a third of the shim's import.

    Raises:
        IndexError: no values.
    """
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


STAMP = struct.Struct("<QQII")
"""One stamp: timer in ns, SM clock in cycles, SM, tag; `struct Stamp` of kernels/timing.cu."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where and when a stamp was taken on the device."""

    timer_ns: int
    sm_cycles: int
    sm: int
    tag: int


@dataclass(frozen=True, slots=True)
class SmClock:
    """The mean clock of each SM between two snapshots."""

    hz: dict[int, float]
    """By SM; an SM that was not seen in both snapshots is absent."""
    span_ns: float
    """The median time between the snapshots."""

    @property
    def median_hz(self) -> float:
        """The device's clock: SMs of one device share it, so the median is robust to a disturbed stamp."""
        return median(self.hz.values())

    @property
    def spread(self) -> float:
        """Largest minus smallest, relative to the median."""
        return (max(self.hz.values()) - min(self.hz.values())) / self.median_hz


@dataclass(frozen=True, slots=True)
class ThrottleVerdict:
    """Whether the clock fell below the reference by more than is allowed."""

    throttled: bool
    drop: float
    """1 - clock / reference; negative when it rose."""
    reference_hz: float
    hz: float


def read_stamps(ring: bytes, written: int) -> list[Stamp]:
    """Return the stamps of a ring, oldest first; those that were overwritten are gone.

    Args:
        ring: Its whole content.
        written: How many stamps were ever written to it.
    """
    places = len(ring) // STAMP.size
    stamps = [Stamp(*fields) for fields in STAMP.iter_unpack(ring[: places * STAMP.size])]
    if written <= places:
        return stamps[:written]
    oldest = written % places
    return stamps[oldest:] + stamps[:oldest]


def smallest_tick_ns(moments: Sequence[int]) -> int | None:
    """Return the least distance between moments at which a timer moved; None if it moved less than twice."""
    steps = [b - a for a, b in pairwise(moments) if b > a]
    return min(steps) if steps else None


def clock_between(stamps: Iterable[Stamp], first: int, second: int) -> SmClock:
    """Return each SM's mean clock between the snapshots tagged `first` and `second`.

    An SM may have stamped twice in a snapshot: the first stamp is taken. Both readings of a stamp are some
    tens of cycles apart, the same in either snapshot, so the distance cancels.

    Raises:
        ValueError: no SM is in both snapshots, or the timer did not move between them.
    """
    seen: dict[int, dict[int, Stamp]] = {first: {}, second: {}}
    for stamp in stamps:
        if stamp.tag in seen:
            seen[stamp.tag].setdefault(stamp.sm, stamp)
    hz, spans = {}, []
    for sm, a in seen[first].items():
        b = seen[second].get(sm)
        if b is not None and b.timer_ns > a.timer_ns:
            spans.append(b.timer_ns - a.timer_ns)
            hz[sm] = (b.sm_cycles - a.sm_cycles) * 1e9 / (b.timer_ns - a.timer_ns)
    if not hz:
        raise ValueError(f"no SM was seen in both snapshots {first} and {second} at different times")
    return SmClock(hz, median(spans))


def throttle(reference_hz: float, hz: float, *, allowed_drop: float = 0.03) -> ThrottleVerdict:
    """Judge a clock against its reference: a drop of `allowed_drop` or more is throttling.

    Raises:
        ValueError: the reference is not positive.
    """
    if reference_hz <= 0:
        raise ValueError(f"a reference clock of {reference_hz} Hz")
    drop = 1.0 - hz / reference_hz
    return ThrottleVerdict(drop >= allowed_drop, drop, reference_hz, hz)


def soaked(rates: Sequence[float], tolerance: float = 0.001) -> bool:
    """Say whether the last two windows of a soak agree: |m_k / m_(k-1) - 1| < tolerance (section 3)."""
    return len(rates) >= 2 and abs(rates[-1] / rates[-2] - 1.0) < tolerance
