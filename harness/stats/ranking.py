"""Ranks with their ties, by Tukey's procedure on the logs of process means (docs/method.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.stats.errors import Direction, Floats, StatsError, in_unit, known, positive
from harness.stats.interval import NO_SPREAD, WITHIN_RUN


@dataclass(frozen=True, slots=True)
class RankInterval:
    """Where one configuration stands: every rank from `best` to `worst` is possible."""

    estimate: float
    """Geometric mean of the process means."""
    best: int
    """One more than the configurations that are surely better."""
    worst: int
    """All configurations less those that are surely worse."""
    letters: str
    """Configurations that share a letter cannot be distinguished."""
    n: int
    flags: tuple[str, ...] = ()
    """`within-run only`: one process, tied with all. `no spread`: its means are all equal."""


def rank(
    groups: Sequence[npt.ArrayLike], *, direction: Direction = "lower", level: float = 0.95
) -> list[RankInterval]:
    """Rank configurations by their process means, in the order given; never a strict order of ties.

    Two configurations differ when |ȳ_i - ȳ_j| > q[level, k, f]·s·√((1/n_i + 1/n_j)/2), with s² the variance
    within configurations pooled over f degrees of freedom and q the studentised range (Tukey-Kramer). A
    configuration of one process has shown no spread of its own and is tied with all.

    Raises:
        StatsError: no configuration, no such direction, or a mean that is NaN, infinite, zero or negative.
    """
    in_unit("level", level)
    known(direction)
    if not groups:
        raise StatsError("no configuration to rank")
    logs = [np.log(positive(group)) for group in groups]
    means = np.array([group.mean() for group in logs])
    counts = np.array([len(group) for group in logs])
    differ = _differ(logs, means, counts, level)
    better = means[:, None] < means if direction == "lower" else means[:, None] > means
    letters = _letters(differ, np.argsort(means if direction == "lower" else -means, kind="stable"))
    return [
        RankInterval(
            estimate=math.exp(means[i]),
            best=1 + int((differ[i] & better[:, i]).sum()),
            worst=len(groups) - int((differ[i] & better[i]).sum()),
            letters=letters[i],
            n=int(counts[i]),
            flags=_flags(logs[i]),
        )
        for i in range(len(groups))
    ]


def _flags(logs: Floats) -> tuple[str, ...]:
    if len(logs) == 1:
        return (WITHIN_RUN,)
    return (NO_SPREAD,) if np.ptp(logs) == 0 else ()


def _differ(
    logs: list[Floats], means: Floats, counts: npt.NDArray[np.int64], level: float
) -> npt.NDArray[np.bool_]:
    """Tell which pairs are surely different, shape (k, k)."""
    several = counts > 1
    judged = int(several.sum())
    differ = np.zeros((len(logs), len(logs)), bool)
    if judged < 2:
        return differ
    degrees = int((counts[several] - 1).sum())
    pooled = sum(float(((group - group.mean()) ** 2).sum()) for group in logs) / degrees
    least = _studentised_range(level, judged, degrees) * np.sqrt(
        pooled * (1 / counts[:, None] + 1 / counts) / 2
    )
    differ = np.abs(means[:, None] - means) > least
    return differ & several[:, None] & several


def _letters(differ: npt.NDArray[np.bool_], order: npt.NDArray[np.intp]) -> list[str]:
    """Return compact letters: two share one exactly when they do not differ (insert and absorb)."""
    k = len(differ)
    sets = [frozenset(range(k))]
    for i, j in zip(*np.nonzero(np.triu(differ)), strict=True):
        split = [part for s in sets for part in ((s - {i}, s - {j}) if {i, j} <= s else (s,))]
        sets = [s for s in dict.fromkeys(split) if not any(s < other for other in split)]
    place = {int(member): rank for rank, member in enumerate(order)}
    sets.sort(key=lambda s: sorted(place[member] for member in s))
    return ["".join(_letter(n) for n, s in enumerate(sets) if i in s) for i in range(k)]


def _letter(n: int) -> str:
    """Return a to z, then (27), (28) and so on."""
    return chr(ord("a") + n) if n < 26 else f"({n + 1})"


@lru_cache(maxsize=256)
def _studentised_range(level: float, k: int, degrees: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(level, k, degrees))
