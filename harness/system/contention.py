"""How busy the host was: what the kernel counted at two moments, and what lies between.

docs/method.md, section 5, has the rules that judge it. What the kernel does not report is
None, with a reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.system.host_counters import HostCounters, read_counters

BUSY_SHARE = 0.05
"""Of the CPUs that this process may use: others who use more make a host busy (docs/method.md, section 5)."""
DELAY_SHARE = 0.02
"""Time without a CPU that an undisturbed team does not reach."""
NOBODY_SHARE = 0.01
"""Of the CPUs: others who use less held no thread up that waited longer than `DELAY_SHARE`."""
_RAN_SHARE = 0.01
"""A thread counts as one of the team if it ran or waited for so much of the span."""


@dataclass(frozen=True, slots=True)
class Contention:
    """What others took of a span. None is unknown."""

    span_ns: int
    threads: int | None
    """Threads that ran or waited in it."""
    waited_ns: int | None
    """Time that those were ready and had no CPU, summed."""
    own_ns: int | None
    """CPU time of this process and its descendants."""
    busy_ns: int | None
    cpus: int
    """CPUs that this process may use."""
    pressure_share: float | None = None
    throttled_share: float | None = None
    """Of the quota's periods."""
    throttled_ns: int | None = None
    cpus_changed: bool | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def delay_share(self) -> float | None:
        """Time without a CPU over threads x span: 0 undisturbed, 0.5 beside one equal for each thread."""
        if self.waited_ns is None or not self.threads or self.span_ns <= 0:
            return None
        return min(1.0, self.waited_ns / (self.threads * self.span_ns))

    @property
    def others_cpus(self) -> float | None:
        """CPUs that everybody else used on average."""
        if self.busy_ns is None or self.own_ns is None or self.span_ns <= 0:
            return None
        return min(float(self.cpus), max(0.0, (self.busy_ns - self.own_ns) / self.span_ns))

    @property
    def busy(self) -> bool:
        """Whether others use more than `BUSY_SHARE` of the CPUs; unknown is not busy."""
        return uses_of_others({"others_cpus": self.others_cpus, "cpus": self.cpus})

    def evidence(self) -> dict[str, Any]:
        """Return it as a record keeps it."""
        return {
            "delay_share": self.delay_share,
            "others_cpus": self.others_cpus,
            "cpus": self.cpus,
            "threads": self.threads,
            "pressure_share": self.pressure_share,
            "throttled_share": self.throttled_share,
            "throttled_ns": self.throttled_ns,
            "cpus_changed": self.cpus_changed,
            "unknown": dict(self.unknown),
        }


def uses_of_others(evidence: Mapping[str, Any]) -> bool:
    """Return, from `Contention.evidence`, whether others used over `BUSY_SHARE` of the CPUs."""
    others, cpus = evidence.get("others_cpus"), evidence.get("cpus")
    return isinstance(others, float | int) and isinstance(cpus, int) and others > BUSY_SHARE * cpus


def is_contended(evidence: Mapping[str, Any]) -> bool:
    """Return, from what a record keeps, whether others used the host, or our threads waited for CPUs.

    A team of more threads than CPUs waits for itself: where others are still, its delay is nobody's.
    """
    delay = evidence.get("delay_share")
    waited = isinstance(delay, float | int) and delay > DELAY_SHARE
    return uses_of_others(evidence) or (waited and not _waits_for_itself(evidence))


def _waits_for_itself(evidence: Mapping[str, Any]) -> bool:
    threads, others, cpus = (evidence.get(key) for key in ("threads", "others_cpus", "cpus"))
    return (
        isinstance(threads, int)
        and isinstance(cpus, int)
        and isinstance(others, float | int)
        and threads > cpus
        and others <= NOBODY_SHARE * cpus
    )


def between(before: HostCounters, after: HostCounters) -> Contention:
    """Return what others took between two moments."""
    span_ns = after.at_ns - before.at_ns
    team = waited = None
    if before.threads is not None and after.threads is not None:
        deltas = [
            (ran - before.threads.get(thread, (0, 0))[0], wait - before.threads.get(thread, (0, 0))[1])
            for thread, (ran, wait) in after.threads.items()
        ]
        waited = sum(wait for _, wait in deltas)
        team = sum(ran + wait >= _RAN_SHARE * span_ns for ran, wait in deltas)
    throttled = None
    periods = _less(after.quota_periods, before.quota_periods)
    if periods:
        held = _less(after.throttled_periods, before.throttled_periods)
        throttled = None if held is None else held / periods
    pressure = _less(after.pressure_ns, before.pressure_ns)
    return Contention(
        span_ns=span_ns,
        threads=team,
        waited_ns=waited,
        own_ns=_less(after.own_ns, before.own_ns),
        busy_ns=_less(after.busy_ns, before.busy_ns),
        cpus=len(os.sched_getaffinity(0)),
        pressure_share=None if pressure is None or span_ns <= 0 else pressure / span_ns,
        throttled_share=throttled,
        throttled_ns=_less(after.throttled_ns, before.throttled_ns),
        cpus_changed=None if before.cpus is None or after.cpus is None else before.cpus != after.cpus,
        unknown={**before.unknown, **after.unknown},
    )


def together(ranks: Sequence[Contention]) -> Contention | None:
    """Return what others took of the spans that several ranks of one host ran side by side; None of none."""
    if not ranks:
        return None
    first = max(ranks, key=lambda one: one.span_ns)
    if len(ranks) == 1:
        return first
    return Contention(
        span_ns=first.span_ns,
        threads=_sum(one.threads for one in ranks),
        waited_ns=_sum(one.waited_ns for one in ranks),
        own_ns=_sum(one.own_ns for one in ranks),
        busy_ns=first.busy_ns,
        cpus=first.cpus,
        pressure_share=first.pressure_share,
        throttled_share=first.throttled_share,
        throttled_ns=first.throttled_ns,
        cpus_changed=None if first.cpus_changed is None else any(one.cpus_changed for one in ranks),
        unknown=first.unknown,
    )


def look(seconds: float = 1.0, since: HostCounters | None = None) -> Contention:
    """Watch the host for a while, asleep: what others use now.

    Args:
        seconds: How long.
        since: Counters read before, which the look may begin with.
    """
    before = read_counters() if since is None else since
    time.sleep(max(0.0, seconds - (time.monotonic_ns() - before.at_ns) / 1e9))
    return between(before, read_counters())


def _less(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else max(0, after - before)


def _sum(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if any(value is None for value in known) else sum(value or 0 for value in known)
