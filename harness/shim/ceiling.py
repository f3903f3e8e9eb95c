"""What a device can do at most, measured on that very device: bandwidth, arithmetic, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Provenance = Literal["measured", "derived"]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One ceiling: the best of some repetitions, since what is sought is the limit and not the habit."""

    id: str
    """`bandwidth.*`, `flops.<how>.<precision>`, `latency.*` or `clock.*`."""
    value: float | None
    unit: str
    method: str
    threads: int = 1
    median: float | None = None
    per_cpu_s: float | None = None
    """The same work over the CPU time of a thread: without what others took of the processor."""
    n: int = 0
    """Repetitions."""
    provenance: Provenance = "measured"
    reason: str | None = None
    """Why there is no value."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """All ceilings of one device, in the order measured."""

    device: str
    entries: tuple[Ceiling, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Threads and where they were pinned, working sets, steal, how the routines were built."""

    def get(self, ceiling_id: str) -> Ceiling | None:
        """Return the ceiling of that id, or None."""
        return next((c for c in self.entries if c.id == ceiling_id), None)

    @property
    def bandwidth_b_s(self) -> float | None:
        """The best memory bandwidth in B/s."""
        return best(self.entries, "bandwidth.")

    def flop_s(self, precision: str) -> float | None:
        """The best arithmetic rate in FLOP/s at `fp32`, `bf16`, …, by whatever instruction reached it."""
        return best([c for c in self.entries if c.id.endswith(f".{precision}")], "flops.")

    @property
    def latency_ns(self) -> dict[str, float]:
        """Latencies in ns, by level or kind."""
        return {
            c.id.removeprefix("latency."): c.value * 1e9
            for c in self.entries
            if c.id.startswith("latency.") and c.value is not None
        }


def best(entries: Sequence[Ceiling], prefix: str) -> float | None:
    """Return the highest value among the ceilings whose id starts so; None where none has one."""
    return max((c.value for c in entries if c.id.startswith(prefix) and c.value is not None), default=None)


def rate(
    ceiling_id: str,
    unit: str,
    work: float,
    wall_ns: Sequence[int],
    method: str,
    *,
    cpu_ns: Sequence[int] = (),
    threads: int = 1,
) -> Ceiling:
    """Return the ceiling of `work` done in each of some repetitions.

    Args:
        ceiling_id: its id.
        unit: of work a second.
        work: of one repetition, all threads.
        wall_ns: of each repetition.
        method: in words.
        cpu_ns: CPU time of each repetition, all threads together.
        threads: that shared the work.
    """
    used = [ns / threads for ns in cpu_ns if ns > 0]
    return Ceiling(
        ceiling_id,
        work / (min(wall_ns) * 1e-9),
        unit,
        method,
        threads,
        median=work / (median(wall_ns) * 1e-9),
        per_cpu_s=work / (min(used) * 1e-9) if used else None,
        n=len(wall_ns),
    )


def latency(ceiling_id: str, each_ns: Sequence[float], method: str, *, threads: int = 1) -> Ceiling:
    """Return the latency ceiling, in s, of some repetitions in ns."""
    return Ceiling(
        ceiling_id,
        min(each_ns) * 1e-9,
        "s",
        method,
        threads,
        median=median(each_ns) * 1e-9,
        n=len(each_ns),
    )


def missing(ceiling_id: str, unit: str, reason: str) -> Ceiling:
    """Return a ceiling that could not be measured, with the reason."""
    return Ceiling(ceiling_id, None, unit, "not measured", reason=reason)
