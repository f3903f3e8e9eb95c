"""Intervals of time in ns as (begin, end) pairs: union, length, overlap, gaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as disjoint intervals in order; empty ones are left out."""
    merged: list[Interval] = []
    for begin, end in sorted(i for i in intervals if i[1] > i[0]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def length(disjoint: Iterable[Interval]) -> int:
    """Return the time that disjoint intervals cover."""
    return sum(end - begin for begin, end in disjoint)


def overlap(a: Sequence[Interval], b: Sequence[Interval]) -> int:
    """Return the time that lies in both of two unions."""
    i = j = total = 0
    while i < len(a) and j < len(b):
        total += max(0, min(a[i][1], b[j][1]) - max(a[i][0], b[j][0]))
        if a[i][1] <= b[j][1]:
            i += 1
        else:
            j += 1
    return total


def gaps(disjoint: Sequence[Interval], span: Interval) -> list[int]:
    """Return the lengths of the times within a span that no interval covers, in order."""
    found, here = [], span[0]
    for begin, end in disjoint:
        if begin > here:
            found.append(min(begin, span[1]) - here)
        here = max(here, end)
    if span[1] > here:
        found.append(span[1] - here)
    return found
