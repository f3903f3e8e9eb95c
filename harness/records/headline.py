"""Which metrics stand for a configuration when it is planned, ranked against or compared with another."""

from __future__ import annotations

from collections.abc import Iterable

from harness.records.schema import Record

ITEMS = ("tokens", "samples", "requests")
"""Kinds of items, the headline's first: a work that has tokens is measured in tokens."""
_CLEAN, _RAW = "iteration.mean.clean", "iteration.mean"


def iteration_metric(records: Iterable[Record]) -> str:
    """Return the iteration time by which these records may be compared (docs/method.md, section 2).

    The undisturbed mean where every record has one: single-threaded work on the CPU, enough of it clean.
    Else the plain mean, for all of them.
    """
    found = [record.metric(_CLEAN) for record in records]
    return _CLEAN if found and all(m is not None and m.value is not None for m in found) else _RAW


def item_kind(records: Iterable[Record]) -> str | None:
    """Return the kind of item that all of these records count, or None when there is none."""
    held = list(records)
    for kind in ITEMS:
        found = [record.metric(f"throughput.{kind}") for record in held]
        if found and all(m is not None and m.value is not None for m in found):
            return kind
    return None
