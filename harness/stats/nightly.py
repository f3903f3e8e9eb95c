"""The nightly screen: suspect cheaply, then believe only pairs (docs/method.md, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.stats.compare import Comparison
from harness.stats.errors import Direction, Floats, StatsError, positive

NIGHTS = 30
"""Accepted nights that make the baseline."""
LEAST_NIGHTS = 8
"""Fewer say too little of their own spread."""
Z_LIMIT = 3.0
CUSUM_LIMIT = 4.0
CUSUM_SLACK = 0.5
"""What each night must exceed before it adds up: half of a shift by one standard deviation."""
MAD_TO_SD = 1.4826

NightLabel = Literal[
    "not_enough_nights", "quiet", "regression", "improvement", "environment_shift", "inconclusive"
]


@dataclass(frozen=True, slots=True)
class Screen:
    """How tonight's value stands against the nights before."""

    baseline: float | None
    """Median of the accepted nights; None when they are too few."""
    shift: float | None
    """Tonight / baseline - 1."""
    z: float | None
    """ln(tonight / baseline) in standard deviations of the nights."""
    cusum: float | None
    """The larger of the two cumulative sums after tonight, signed by its side."""
    suspect: bool
    nights: int
    """Nights that made the baseline."""


def screen(history: npt.ArrayLike, tonight: float, *, floor: float) -> Screen:
    """Judge tonight's value by the median and MAD of the last 30 accepted nights.

    z = (x - median) / max(1.4826·MAD, floor), x = ln value; suspect when |z| > 3, or when a two-sided
    cumulative sum of z with slack 0.5 over those nights and tonight exceeds 4.

    Args:
        history: Values of accepted nights, oldest first; those before the last 30 are not used.
        tonight: Tonight's value.
        floor: The least standard deviation of ln value to assume, from A/A runs.

    Raises:
        StatsError: a value that is NaN, infinite, zero or negative; `floor` not positive.
    """
    if not (floor > 0 and math.isfinite(floor)):
        raise StatsError(f"the floor is {floor}, not a positive number")
    x = float(np.log(positive([tonight]))[0])
    if np.size(history) == 0:
        return Screen(None, None, None, None, suspect=False, nights=0)
    past = np.log(positive(history))[-NIGHTS:]
    if len(past) < LEAST_NIGHTS:
        return Screen(None, None, None, None, suspect=False, nights=len(past))
    median = float(np.median(past))
    scale = max(MAD_TO_SD * float(np.median(np.abs(past - median))), floor)
    z = (np.append(past, x) - median) / scale
    cusum = _cusum(z)
    return Screen(
        baseline=math.exp(median),
        shift=math.expm1(x - median),
        z=float(z[-1]),
        cusum=cusum,
        suspect=bool(abs(z[-1]) > Z_LIMIT or abs(cusum) > CUSUM_LIMIT),
        nights=len(past),
    )


def night_label(
    screened: Screen, confirmation: Comparison | None, *, delta: float = 0.01, direction: Direction = "lower"
) -> NightLabel:
    """Say what the night was, given the pairs of last-good and head that a suspect night is confirmed by.

    Only the pairs can raise an alert, with an effect of at least delta / 2. A shift that they do not show
    belongs to the environment; where they are inconclusive and their interval still holds the shift that was
    seen, they have not said so.

    Args:
        screened: Of tonight.
        confirmation: `compare(last_good, head, delta, direction=direction)`; None when tonight is no suspect.
        delta: The effect below which a difference does not matter.
        direction: Which values are better.

    Raises:
        StatsError: tonight is suspect and there is no confirmation.
    """
    if screened.baseline is None or screened.shift is None:
        return "not_enough_nights"
    if not screened.suspect:
        return "quiet"
    if confirmation is None:
        raise StatsError("a suspect night needs the pairs that confirm it")
    effect, open_ = confirmation.effect, confirmation.label == "inconclusive"
    if not open_ and abs(effect) >= delta / 2 and not _holds(confirmation, 0.0):
        return "improvement" if (effect < 0) == (direction == "lower") else "regression"
    if open_ and _holds(confirmation, screened.shift):
        return "inconclusive"
    return "environment_shift"


def _holds(comparison: Comparison, effect: float) -> bool:
    """Return whether the interval leaves `effect` possible; without bounds everything is."""
    if comparison.low is None or comparison.high is None:
        return True
    return comparison.low <= effect <= comparison.high


def _cusum(z: Floats) -> float:
    """Return the two-sided cumulative sum after the last night, signed by the side that is larger."""
    up = down = 0.0
    for value in z:
        up = max(0.0, up + value - CUSUM_SLACK)
        down = max(0.0, down - value - CUSUM_SLACK)
    return float(up if up >= down else -down)
