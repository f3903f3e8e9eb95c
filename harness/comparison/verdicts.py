"""From the records of two sides to one verdict a metric, the headline first (docs/method.md, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from statistics import median
from typing import Any

from harness.records.headline import CLEAN, CLEAN_PROCESSES, RAW, item_kind
from harness.records.metrics import METRICS
from harness.records.schema import Record
from harness.records.validity import describe, judge
from harness.stats import Comparison, StatsError, interval

_LATENCIES = ("latency.p50", "latency.p90", "latency.p99", "latency.ttft", "latency.tpot")
_SERVED = (
    *("goodput.requests", "goodput.share", "latency.ttft", "latency.tpot", "latency.e2e"),
    *("latency.ttft.p90", "latency.tpot.p90", "latency.e2e.p90"),
)
"""Of requests that came to an engine, whose steps are no unit of work."""
_MEMORY = ("memory.peak_allocated", "memory.peak_rss")
DIFFERENT_WORK = "different work"
"""Flag: the sides run different workloads or modes, so that a difference says nothing of how they are run."""
_SAME_STEP = 0.01
"""Items of an iteration that differ by less are those of one batch size, with other padding."""
How = Callable[..., Comparison]
"""Compares two series of process means, given `direction=`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of both sides: a comparison, or the reason why there is none."""

    metric_id: str
    base: float | None = None
    """Geometric mean of its processes."""
    head: float | None = None
    comparison: Comparison | None = None
    flags: tuple[str, ...] = ()
    """What the validity rules and the comparison have against it."""
    reason: str | None = None

    @property
    def label(self) -> str:
        """The verdict in one word."""
        return self.comparison.label if self.comparison is not None else "unavailable"

    def plain(self) -> dict[str, Any]:
        """Return the line as plain data."""
        d = METRICS[self.metric_id]
        found = asdict(self.comparison) if self.comparison is not None else {}
        return {
            "metric": self.metric_id,
            "title": d.title,
            "unit": d.unit,
            "better": d.direction,
            "base": self.base,
            "head": self.head,
            **found,
            "label": self.label,
            "flags": list(self.flags),
            "reason": self.reason,
        }


def verdicts(base: Sequence[Record], head: Sequence[Record], how: How, *, paired: bool) -> list[Line]:
    """Compare good records of two sides, metric by metric; the first line is the headline.

    Args:
        base: one record per process.
        head: likewise; for pairs, in the order of their partners.
        how: `stats.compare` for pairs.
        paired: record i of both sides ran side by side.
    """
    before, after = _undisturbed(base, head, paired=paired)
    clean = len(before) >= CLEAN_PROCESSES * len(base) and len(after) >= CLEAN_PROCESSES * len(head)
    notes = () if _workloads(base) == _workloads(head) else (DIFFERENT_WORK,)
    lines = []
    for metric_id in compared(base, head):
        if metric_id == RAW and clean:
            left_out = len(base) + len(head) - len(before) - len(after)
            note = (f"{left_out} disturbed processes left out",) if left_out else ()
            lines.append(_line(CLEAN, before, after, how, (*notes, *note)))
        else:
            lines.append(_line(metric_id, base, head, how, notes))
    return lines


def _workloads(records: Sequence[Record]) -> set[tuple[str, str]]:
    """Return the workloads and modes that were run, as records name them."""
    parts = [record.config.get("workload") for record in records]
    return {(str(p.get("name")), str(p.get("mode"))) for p in parts if isinstance(p, dict)}


def _undisturbed(
    base: Sequence[Record], head: Sequence[Record], *, paired: bool
) -> tuple[list[Record], list[Record]]:
    """Leave out processes without an undisturbed mean, each with its partner where they are paired."""
    clean = [[value is not None for value in _values(side, CLEAN)] for side in (base, head)]
    if paired:
        clean = [[a and b for a, b in zip(*clean, strict=True)]] * 2
    before, after = (list(compress(s, keep)) for s, keep in zip((base, head), clean, strict=True))
    return before, after


def compared(base: Sequence[Record], head: Sequence[Record]) -> list[str]:
    """Return the metrics to compare: iteration time, throughput, latency, memory and energy.

    Iteration time is the undisturbed mean where enough processes have one: single-threaded work on the CPU.
    The headline is the iteration time. Where an iteration of one side does more than one of the other, times
    of iterations say nothing and the headline is throughput.
    """
    records = [*base, *head]
    kind = item_kind(records)
    served = not any(record.metric(RAW) for record in records)
    alike = not served and (kind is None or _same_step(base, head, kind))
    ids = [RAW] if alike else []
    ids += [f"throughput.{kind}"] if kind else []
    latencies = _SERVED if served else _LATENCIES
    ids += [i for i in latencies if (alike or served or i == "latency.tpot") and _any_value(records, i)]
    ids += [next((i for i in _MEMORY if _any_value(records, i)), _MEMORY[0])]
    ids += [f"energy.{kind.removesuffix('s')}" if kind else "energy.iteration"]
    return ids


def _same_step(base: Sequence[Record], head: Sequence[Record], kind: str) -> bool:
    """Tell whether an iteration does equally much on both sides, from throughput times iteration time."""

    def items(records: Sequence[Record]) -> float:
        rates, times = (_values(records, i) for i in (f"throughput.{kind}", RAW))
        return median([r * t for r, t in zip(rates, times, strict=True) if r and t] or [0.0])

    before, after = items(base), items(head)
    return abs(after - before) <= _SAME_STEP * before


def _line(
    metric_id: str, base: Sequence[Record], head: Sequence[Record], how: How, notes: tuple[str, ...] = ()
) -> Line:
    records = [*base, *head]
    judged = [judge(record).get(metric_id, ("unavailable", ("it was not measured",))) for record in records]
    for word in ("unavailable", "invalid"):
        without = [reasons for validity, reasons in judged if validity == word]
        if without:
            share = "" if len(without) == len(records) else f" in {len(without)} of {len(records)} processes"
            return Line(metric_id, reason=f"{describe(without[0][0]).rstrip('.')}{share}")
    if any(m.semantics_version != METRICS[metric_id].version for r in records if (m := r.metric(metric_id))):
        return Line(metric_id, reason="it was measured under another definition")
    before, after = ([v for v in _values(side, metric_id) if v is not None] for side in (base, head))
    direction = "higher" if METRICS[metric_id].direction == "higher" else "lower"
    try:
        found = how(before, after, direction=direction)
        means = interval(before).estimate, interval(after).estimate
    except StatsError as error:
        return Line(metric_id, reason=str(error))
    flags = [reason for _, reasons in judged for reason in reasons]
    return Line(metric_id, *means, found, tuple(dict.fromkeys((*found.flags, *notes, *flags))))


def _values(records: Sequence[Record], metric_id: str) -> list[float | None]:
    return [m.value if (m := record.metric(metric_id)) else None for record in records]


def _any_value(records: Sequence[Record], metric_id: str) -> bool:
    return any(value is not None for value in _values(records, metric_id))
