"""What a profile shows, counted from its events: shares of the span, launch gaps, the longest kernels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from harness.profile.intervals import Interval, gaps, length, overlap, union

Kind = Literal["compute", "copy", "communication", "input"]
TOP = 20
"""Operators, and modules, that are kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """One piece of work on the device: a kernel, or on the CPU an operator."""

    name: str
    kind: Kind
    begin_ns: int
    end_ns: int
    own_ns: int
    """Without the events inside it; they are events of their own."""
    module: str = ""
    """Name of the module that it belongs to, as `named_modules` has it; empty is none."""


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """All events of one name in one module."""

    name: str
    module: str
    kind: Kind
    calls: int
    total_ns: int
    share: float
    """Of the time of all events."""


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """Shares are of the span, the host's time from the first step's call to the device's end."""

    device: str
    iterations: int
    span_ns: int
    events: int
    busy_share: float
    """Any work on the device."""
    idle_share: float
    """No work on the device: it waited to be given some."""
    copy_share: float
    communication_share: float
    exposed_communication_share: float
    """Communication with no computation beside it."""
    input_share: float
    """Copies from the host and waiting for data, with no computation beside them."""
    gaps: int
    gap_median_ns: float | None
    gap_longest_ns: int | None
    operators: tuple[OperatorTime, ...]
    """The longest, longest first."""
    modules: tuple[tuple[str, float], ...]
    """The modules with the largest shares of all events' time."""
    modules_reason: str | None = None
    """Why operators are in no module."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for a record."""
        return asdict(self)


def count(
    events: Sequence[Event],
    span: Interval,
    *,
    device: str,
    iterations: int,
    modules_reason: str | None = None,
) -> ProfileFacts:
    """Count a profile's events.

    Args:
        events: of the device, in any order, those that reach out of the span cut off at its ends.
        span: begin and end in ns.
        device: `cpu` or `cuda`.
        iterations: profiled.
        modules_reason: why no event has a module, where that is so.

    Raises:
        ValueError: the span has no length.
    """
    whole = span[1] - span[0]
    if whole <= 0:
        raise ValueError(f"a span of {whole} ns")
    by_kind: dict[Kind, list[Interval]] = defaultdict(list)
    for event in events:
        by_kind[event.kind].append((max(event.begin_ns, span[0]), min(event.end_ns, span[1])))
    unions = {kind: union(found) for kind, found in by_kind.items()}
    busy = union(i for found in unions.values() for i in found)
    compute = unions.get("compute", [])

    def exposed(kind: Kind) -> float:
        found = unions.get(kind, [])
        return (length(found) - overlap(found, compute)) / whole

    waits = gaps(busy, span)
    return ProfileFacts(
        device=device,
        iterations=iterations,
        span_ns=whole,
        events=len(events),
        busy_share=length(busy) / whole,
        idle_share=1 - length(busy) / whole,
        copy_share=length(union((*unions.get("copy", []), *unions.get("input", [])))) / whole,
        communication_share=length(unions.get("communication", [])) / whole,
        exposed_communication_share=exposed("communication"),
        input_share=exposed("input"),
        gaps=len(waits),
        gap_median_ns=float(median(waits)) if waits else None,
        gap_longest_ns=max(waits, default=None),
        operators=_operators(events),
        modules=_modules(events),
        modules_reason=modules_reason,
    )


def _operators(events: Iterable[Event]) -> tuple[OperatorTime, ...]:
    calls: dict[tuple[str, str, Kind], list[int]] = defaultdict(list)
    for event in events:
        calls[event.name, event.module, event.kind].append(event.own_ns)
    total = sum(sum(own) for own in calls.values())
    found = [
        OperatorTime(*key, len(own), sum(own), sum(own) / total if total else 0.0)
        for key, own in calls.items()
    ]
    return tuple(sorted(found, key=lambda o: (-o.total_ns, o.name, o.module))[:TOP])


def _modules(events: Iterable[Event]) -> tuple[tuple[str, float], ...]:
    times: dict[str, int] = defaultdict(int)
    for event in events:
        times[event.module] += event.own_ns
    total = sum(times.values())
    shares = [(name, ns / total) for name, ns in times.items() if name and total]
    return tuple(sorted(shares, key=lambda s: (-s[1], s[0]))[:TOP])
