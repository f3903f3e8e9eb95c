"""LoadGen's settings by search: how fast the engine is, and which of Server's rates keeps the limits.

LoadGen makes its queries beforehand: it needs an expectation that is faster than the engine, or it runs out
of them before the time is up, and enough queries for its percentile, or no run of it can be valid.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.serving.loadgen import LoadGenRun, LoadGenSettings, Sample

if TYPE_CHECKING:
    from workloads.engine.continuous_batching import Engine

CONFIDENCE = 0.99
"""Of LoadGen's early stopping."""
MOST_PROBES, MOST_RUNS = 10, 5
LEAST_LOAD = 1 / 16
"""Of Server's rate over what the engine answers together: limits that fail there fail at any rate."""
PROBE_S = 2.0
TOLERANCE = 0.1
"""Relative width of the last bracket of Server's rate, and what a full run that fails is lowered by."""
_ALONE, _TOGETHER = 5, 32
_FASTER = 1.5
"""Expectations over what was measured."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an engine does here."""

    alone_s: float
    """One answer, while nothing else is asked."""
    rate_per_s: float
    """Answers, many at a time."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One run of the search, in LoadGen's words."""

    settings: LoadGenSettings
    valid: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The last run, valid or not, and all that were tried before it."""

    run: LoadGenRun
    tried: tuple[Tried, ...]


def least_queries(percentile: float) -> int:
    """Return the fewest queries with which LoadGen gives an estimate at a percentile, one of them slower.

    That is the least n for which P(X <= 1) <= 1 - confidence, X binomial of n and 1 - percentile: 64 at the
    90th, 662 at the 99th.

    Raises:
        ValueError: not within 0 and 1.
    """
    if not 0 < percentile < 1:
        raise ValueError(f"a percentile lies within 0 and 1, not {percentile}")
    n, over = 1, 1 - percentile
    while percentile**n + n * over * percentile ** (n - 1) > 1 - CONFIDENCE:
        n += 1
    return n


def capacity(engine: Engine, samples: Sequence[Sample]) -> Capacity:
    """Measure an idle engine with a few answers, alone and together; the first ones warm it up."""
    from workloads.engine.continuous_batching import Request

    def took_s(count: int) -> float:
        began = time.perf_counter()
        for i in range(count):
            sample = samples[i % len(samples)]
            engine.submit(Request(i, sample.prompt, sample.new_tokens))
        while not engine.idle:
            engine.step()
        return time.perf_counter() - began

    took_s(_ALONE)
    alone_s = min(took_s(1) for _ in range(_ALONE))
    return Capacity(alone_s, _TOGETHER / took_s(_TOGETHER))


def first_settings(wanted: LoadGenSettings, known: Capacity) -> LoadGenSettings:
    """Return the wanted settings with the expectations that follow from an engine's capacity."""
    rate = known.rate_per_s * (0.5 if wanted.scenario == "server" else _FASTER)
    return replace(
        wanted,
        queries=least_queries(wanted.percentile),
        rate_per_s=rate,
        expected_s=known.alone_s / _FASTER,
    )


def settle(run: Callable[[LoadGenSettings], LoadGenRun], wanted: LoadGenSettings, known: Capacity) -> Settled:
    """Search settings with which LoadGen says VALID, and run them.

    Server's rate is searched by short runs first, below what the engine answers together. A full run that is
    not valid is mended by what LoadGen says it lacks, a few times.

    Args:
        run: One run of LoadGen.
        wanted: Scenario, duration, percentile and limits.
        known: Of the engine.
    """
    tried: list[Tried] = []

    def ran(settings: LoadGenSettings) -> LoadGenRun:
        found = run(settings)
        tried.append(Tried(settings, found.log.valid))
        return found

    settings = first_settings(wanted, known)
    if settings.scenario == "server":
        settings = replace(settings, rate_per_s=_highest(ran, settings, known.rate_per_s))
    found = ran(settings)
    for _ in range(MOST_RUNS - 1):
        if found.log.valid:
            break
        settings = _mended(settings, found)
        found = ran(settings)
    return Settled(found, tuple(tried))


def _highest(
    ran: Callable[[LoadGenSettings], LoadGenRun], first: LoadGenSettings, most_per_s: float
) -> float:
    """Return the highest rate that short runs found valid, or the lowest that was tried."""
    low, high, rate = 0.0, most_per_s, first.rate_per_s
    for _ in range(MOST_PROBES):
        short = replace(first, rate_per_s=rate, seconds=min(first.seconds, PROBE_S))
        low, high = (rate, high) if ran(short).log.valid else (low, rate)
        if high <= max(low * (1 + TOLERANCE), most_per_s * LEAST_LOAD):
            break
        rate = math.sqrt(low * high) if low else high / 2
    return low or high


def _mended(settings: LoadGenSettings, found: LoadGenRun) -> LoadGenSettings:
    """Change what LoadGen found wanting; without a word of it, Server's rate was too high."""
    said = found.log.values
    if said.get("result_min_duration_met") is False:
        return replace(settings, rate_per_s=settings.rate_per_s * 2, expected_s=settings.expected_s / 2)
    if settings.scenario == "server":
        return replace(settings, rate_per_s=settings.rate_per_s / (1 + TOLERANCE))
    return replace(settings, queries=settings.queries * 2)
