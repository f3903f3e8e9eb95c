"""Which metrics stand for a configuration when it is planned, ranked against or compared with another."""

from __future__ import annotations

from collections.abc import Iterable

from harness.records.schema import Record

ITEMS = ("bytes", "tokens", "samples", "requests")
"""Kinds of items, the headline's first: work that moves bytes counts these, work that has tokens those."""
HEADLINES = tuple(f"throughput.{kind}" for kind in ITEMS)
CLEAN, RAW = "iteration.mean.clean", "iteration.mean"
CLEAN_PROCESSES = 0.5
"""Share of the processes that must have an undisturbed mean before it is the one that is compared."""


def iteration_metric(records: Iterable[Record]) -> str:
    """Return the iteration time by which these records may be compared (docs/method.md, section 2).

    The undisturbed mean where enough of the records have one: single-threaded work on the CPU that was let
    alone. Else the plain mean. A record without the metric then stays out of the comparison.
    """
    clean = [record.value(CLEAN) is not None for record in records]
    return CLEAN if clean and sum(clean) >= CLEAN_PROCESSES * len(clean) else RAW


def item_kind(records: Iterable[Record]) -> str | None:
    """Return the kind of item that all of these records count, or None when there is none."""
    held = list(records)
    for kind, metric_id in zip(ITEMS, HEADLINES, strict=True):
        if held and all(record.value(metric_id) is not None for record in held):
            return kind
    return None
