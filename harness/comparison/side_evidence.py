"""What the records of one side hold that can explain its speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.records.results import TrialResult
from harness.records.schema import Record

_SOFTWARE = ("torch", "triton", "numpy", "compiler", "accelerator_driver", "accelerator_runtime", "kernel")


@dataclass(frozen=True, slots=True)
class Side:
    """A trial's good replicas, and what its first ones alone hold."""

    records: tuple[Record, ...]
    profile: Mapping[str, Any] | None
    roofline: Mapping[str, Any] | None

    def mean(self, read: Callable[[Record], float | None]) -> float | None:
        """Return the mean over the replicas that have it, None where none has."""
        values = [v for r in self.records if (v := read(r)) is not None]
        return math.fsum(values) / len(values) if values else None

    @property
    def bound(self) -> str:
        """The ceiling that takes most of the time: `compute` or `memory`."""
        held = self.roofline or {}
        compute, memory = (number(held.get(k)) or 0.0 for k in ("compute_share", "memory_share"))
        return "memory" if memory > compute else "compute"


def side_of(result: TrialResult) -> Side:
    """Return a trial's evidence."""
    good = tuple({r.replica: r for r in result.records if r.status == "ok"}.values())
    profiles = (r.evidence.get("profile") for r in good)
    roofs = (r.evidence.get("roofline") for r in good)
    return Side(
        good,
        next(
            (p for p in profiles if isinstance(p, Mapping) and number(p.get("busy_share")) is not None), None
        ),
        next(
            (
                r
                for r in roofs
                if isinstance(r, Mapping) and all(number(r.get(k)) for k in ("flop_s", "bandwidth_b_s"))
            ),
            None,
        ),
    )


def clock_mhz(record: Record) -> float | None:
    """Return the clock that the device ran at, by its own cycles, else by its driver."""
    sm = record.evidence.get("sm_clock")
    hz = number(sm.get("hz")) if isinstance(sm, Mapping) else None
    return hz / 1e6 if hz else number(record.evidence.get("clock_mhz"))


def slowed(record: Record) -> float | None:
    """Return mean iteration time over that of undisturbed iterations."""
    raw, clean = (record.metric(m) for m in ("iteration.mean", "iteration.mean.clean"))
    if raw is None or clean is None or not raw.value or not clean.value:
        return None
    return raw.value / clean.value


def logarithm(metric: str) -> Callable[[Record], float | None]:
    """Return a reader of the logarithm of a metric; it gives None where there is no positive value."""

    def read(record: Record) -> float | None:
        found = record.metric(metric)
        return math.log(found.value) if found is not None and found.value and found.value > 0 else None

    return read


def stolen(record: Record) -> float | None:
    """Return the share of CPU time that other machines took."""
    return number(record.evidence.get("steal_ratio"))


def differences(a: Side, b: Side) -> tuple[str, ...]:
    """Say what else differs on record, software and clock states."""
    one, other = a.records[-1], b.records[-1]
    said = [
        f"{name}: {one.code.get(name)} on A, {other.code.get(name)} on B"
        for name in _SOFTWARE
        if one.code.get(name) != other.code.get(name)
    ]
    states = [
        ", ".join(sorted({str(s) for r in side.records for s in r.evidence.get("clock_states") or ()}))
        or "none"
        for side in (a, b)
    ]
    if states[0] != states[1]:
        said.append(f"clock states: {states[0]} on A, {states[1]} on B")
    return tuple(said)


def missing(a: Side, b: Side) -> tuple[str, ...]:
    """Name the evidence that would explain more."""
    needed: dict[str, Callable[[Side], Any]] = {
        "a profile (measure.profile=true)": lambda side: side.profile,
        "measured ceilings (joulemark qualify)": lambda side: side.roofline,
        "clocks": lambda side: side.mean(clock_mhz),
    }
    return tuple(name for name, read in needed.items() if not (read(a) and read(b)))


def number(value: object) -> float | None:
    """Return a record's value when it is a finite number, else None."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]
