"""One series of nights: which of them make the baseline, and what tonight is (docs/method.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from harness.stats import Comparison, Screen, night_label, screen

Label = Literal["regression", "suspicious", "no_regression", "environment_shift", "insufficient_data"]
Event = Literal["improvement", "accepted"]
Confirm = Callable[[], Comparison | None]
"""Measures last-good against head in new pairs; None where that cannot be done."""
GOOD_NIGHTS_BACK = 14
"""How many accepted nights back the good code is: a small regression is not noticed on its first night, and
the code of the night before may hold it already."""


@dataclass(frozen=True, slots=True)
class Night:
    """A night that was judged."""

    name: str
    value: float
    label: Label
    event: Event | None = None
    """What made its level the new normal, if something did."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a night was, and what that rests on."""

    label: Label
    screened: Screen | None = None
    comparison: Comparison | None = None
    event: Event | None = None
    reason: str | None = None


def baseline(nights: Sequence[Night]) -> list[float]:
    """Return the values that tonight is judged by, brought to the level of the newest ones.

    A level ends where the environment moved for two nights in a row, where pairs confirmed an improvement,
    or where the policy accepted a night. Values of earlier levels are scaled so that their median is the
    newest level's: they still tell how nights scatter. A single night that pairs did not confirm, a
    suspicious one and a regression belong to no level.

    Args:
        nights: oldest first.
    """
    levels: list[list[float]] = [[]]
    shifted: list[float] = []
    for night in nights:
        if night.event is not None:
            shifted = []
            levels.append([night.value])
        elif night.label == "environment_shift":
            shifted.append(night.value)
            if len(shifted) == 2:
                levels.append(list(shifted))
            elif len(shifted) > 2:
                levels[-1].append(night.value)
        else:
            shifted = []
            if night.label in {"no_regression", "insufficient_data"}:
                levels[-1].append(night.value)
    known = [level for level in levels if level]
    if not known:
        return []
    newest = median(known[-1])
    return [value * newest / median(level) for level in known for value in level]


def last_good(nights: Sequence[Night]) -> Night | None:
    """Return the night whose code tonight's is measured against; None where none was accepted.

    It is the accepted night `GOOD_NIGHTS_BACK` back, but never one before the newest improvement or accepted
    level, whose difference to tonight is known and wanted.
    """
    since = max((i for i, night in enumerate(nights) if night.event is not None), default=0)
    good = [n for n in nights[since:] if n.event or n.label in {"no_regression", "insufficient_data"}]
    return good[-GOOD_NIGHTS_BACK:][0] if good else None


def judge_night(
    nights: Sequence[Night],
    tonight: float,
    confirm: Confirm,
    *,
    delta: float,
    floor: float,
    direction: Literal["higher", "lower"],
) -> Judgement:
    """Screen tonight's value, and let pairs decide where it is suspect.

    Args:
        nights: those before, oldest first.
        tonight: a positive value.
        confirm: called only for a suspect.
        delta: the effect below which a difference does not matter.
        floor: the least standard deviation of ln value to assume.
        direction: which values are better.

    Raises:
        StatsError: a value that is not positive and finite.
    """
    screened = screen(baseline(nights), tonight, floor=floor)
    if screened.baseline is None:
        reason = f"{screened.nights} accepted nights are too few"
        return Judgement("insufficient_data", screened, reason=reason)
    if not screened.suspect:
        return Judgement("no_regression", screened)
    found = confirm()
    if found is None:
        return Judgement("suspicious", screened, reason="no pairs with the last good code could be measured")
    label = night_label(screened, found, delta=delta, direction=direction)
    if label in {"regression", "improvement"}:
        # Of the many nights that are screened, some look changed twice by chance; hardly one does three
        # times. The second set is also free of the luck that made the first one stop.
        again = confirm()
        if again is None or night_label(screened, again, delta=delta, direction=direction) != label:
            reason = f"a first set of pairs showed {found.effect:+.2%}, a second did not repeat it"
            return Judgement("suspicious", screened, again or found, reason=reason)
        found = again
    if label == "regression":
        return Judgement("regression", screened, found)
    if label == "improvement":
        return Judgement("no_regression", screened, found, event="improvement")
    if label == "inconclusive":
        return Judgement("suspicious", screened, found, reason="the pairs have not settled it")
    reason = "the pairs show no difference between the codes"
    return Judgement("environment_shift", screened, found, reason=reason)


def is_value(value: float | None) -> bool:
    """Tell whether a number can be judged: there, finite and above zero."""
    return value is not None and math.isfinite(value) and value > 0
