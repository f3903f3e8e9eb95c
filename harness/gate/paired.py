"""One metric over pairs of processes: what it says, and whether more pairs are needed."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.headline import CLEAN_PROCESSES
from harness.records.schema import Record
from harness.stats import Comparison, compare, finished
from harness.stats.compare import LOOKS
from harness.stats.errors import Direction

Records = Sequence[Record]


def paired_values(base: Records, head: Records, metric_id: str) -> list[tuple[float, float]]:
    """Return a metric's values of the pairs of which both processes have one."""
    found = [(b.metric(metric_id), h.metric(metric_id)) for b, h in zip(base, head, strict=True)]
    return [(b.value, h.value) for b, h in found if b and h and b.value and h.value]


def cannot_conclude(base: Records, head: Records, metric_id: str) -> bool:
    """Tell whether by the first look fewer than half of the pairs have the metric, so that more will not."""
    usable = len(paired_values(base, head, metric_id))
    return len(base) >= LOOKS[0] and usable < CLEAN_PROCESSES * len(base)


def paired_comparison(
    base: Records, head: Records, metric_id: str, delta: float, direction: Direction = "lower"
) -> Comparison | None:
    """Compare one metric over the pairs that have it; None where no pair does, or too few ever will.

    Args:
        base: one record per process, in the order of their partners in `head`.
        head: likewise.
        metric_id: of `METRICS`.
        delta: the effect below which a difference does not matter.
        direction: which values are better.

    Raises:
        StatsError: a value is not positive and finite.
    """
    both = paired_values(base, head, metric_id)
    if not both or cannot_conclude(base, head, metric_id):
        return None
    before, after = zip(*both, strict=True)
    return compare(before, after, delta, direction=direction)


def is_settled(base: Records, head: Records, metric_id: str, delta: float) -> bool:
    """Tell whether the pairs have a verdict on this metric at a planned look, or never will."""
    found = paired_comparison(base, head, metric_id, delta)
    return cannot_conclude(base, head, metric_id) if found is None else finished(found)
