"""The highest rate that meets its limits, by bisection: a rate is run again until its share is decided.

Goodput in the field's sense: the rate at which at least a stated share of requests keeps every limit. A share
falls as the rate rises, and near the edge of saturation it falls steeply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.stats import StatsError
from harness.stats.interval import linear_interval

LEVEL = 0.99
"""Of each decision; there are many of them, and each looks at its repeats several times."""
MOST_STEPS = 24
"""Doublings or halvings before there is a bracket."""
Limit = Literal["latency", "saturation"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One run at one rate."""

    share: float
    """Of the requests that kept every limit, 0 to 1."""
    saturated: bool = False
    """The server fell behind the arrivals."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One rate, with all its runs."""

    rate_per_s: float
    probes: tuple[Probe, ...]
    met: bool
    decided: bool
    """The interval of the share lies on one side of what was asked; else the mean had to decide."""

    @property
    def share(self) -> float:
        """Mean share of good requests."""
        return sum(probe.share for probe in self.probes) / len(self.probes)


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found."""

    rate_per_s: float | None
    """The highest rate that met the limits; None where none did."""
    above_per_s: float | None
    """The lowest rate that did not meet them; None where all did."""
    limited_by: Limit | None
    """What is in the way above: answers that are too slow, or a server that falls behind."""
    tried: tuple[Tried, ...] = field(repr=False, default=())


def highest_rate(
    probe: Callable[[float, int], Probe],
    start_per_s: float,
    share: float,
    *,
    tolerance: float = 0.02,
    least: int = 3,
    most: int = 10,
) -> Found:
    """Find the highest rate at which at least `share` of the requests keep their limits.

    The rate is doubled or halved until one rate meets the limits and the next does not; then the bracket is
    halved on a logarithmic scale until its ends differ by `tolerance` at most.

    Args:
        probe: Runs the load once at a rate; the second argument counts the runs at this rate.
        start_per_s: Where to begin.
        share: Least share of good requests, 0 to 1.
        tolerance: Relative width of the last bracket.
        least: Runs of a rate before it is judged.
        most: Runs of a rate after which the mean decides.

    Raises:
        ValueError: a number out of range.
    """
    if not (start_per_s > 0 and math.isfinite(start_per_s) and 0 < share <= 1 and tolerance > 0):
        raise ValueError("the search needs a positive rate and tolerance, and a share within 0 and 1")
    if not 2 <= least <= most:
        raise ValueError("the search needs at least two runs of a rate")
    tried: list[Tried] = []

    def met(rate: float) -> bool:
        tried.append(_tried(probe, rate, share, least, most))
        return tried[-1].met

    low, high = _bracket(met, start_per_s)
    while low is not None and high is not None and high > low * (1 + tolerance):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if met(middle) else (low, middle)
    return Found(low, high, _limited_by(tried, high), tuple(tried))


def _bracket(met: Callable[[float], bool], start: float) -> tuple[float | None, float | None]:
    """Return a rate that meets the limits and its double, which does not; None for what there is not."""
    rate, up = start, met(start)
    for _ in range(MOST_STEPS):
        following = rate * 2 if up else rate / 2
        if met(following) != up:
            return (rate, following) if up else (following, rate)
        rate = following
    return (rate, None) if up else (None, rate)


def _tried(probe: Callable[[float, int], Probe], rate: float, share: float, least: int, most: int) -> Tried:
    probes: list[Probe] = []
    side: bool | None = None
    while side is None and len(probes) < most:
        probes.append(probe(rate, len(probes)))
        if len(probes) >= least:
            side = _side([one.share for one in probes], share)
    mean = sum(one.share for one in probes) / len(probes)
    return Tried(rate, tuple(probes), mean >= share if side is None else side, side is not None)


def _side(shares: Sequence[float], wanted: float) -> bool | None:
    """Return whether the mean share is enough, or None where its interval holds the one that is wanted."""
    try:
        found = linear_interval(shares, LEVEL)
    except StatsError:
        return None
    if found.low is None or found.high is None:
        return None
    if found.low >= wanted:
        return True
    return False if found.high < wanted else None


def _limited_by(tried: Sequence[Tried], high: float | None) -> Limit | None:
    above = next((one for one in tried if one.rate_per_s == high), None)
    if above is None:
        return None
    behind = sum(probe.saturated for probe in above.probes)
    return "saturation" if 2 * behind > len(above.probes) else "latency"
