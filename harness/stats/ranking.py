"""Ranks with their ties, by Tukey's procedure on the logs of process means (docs/method.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.stats.compare import Comparison, label_of
from harness.stats.errors import Direction, Floats, StatsError, in_unit, known, positive, ratio_less_one
from harness.stats.interval import NO_SPREAD, WITHIN_RUN, plain_list
from harness.stats.studentised import studentised_range
from harness.stats.unpaired import LEAST_EQUAL

MOST_LETTERED = 500
"""Configurations up to which ties get letters; beyond, rank intervals show them."""
_AT_ONCE = 64
"""Configurations that are held against all others in one step."""


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
    """Configurations that share a letter cannot be distinguished; empty where there are too many."""
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
    test = TukeyTest(groups, direction=direction, level=level)
    places = [test.place(i) for i in range(len(groups))]
    letters = test.letters() if len(groups) <= MOST_LETTERED else [""] * len(groups)
    return [
        RankInterval(
            estimate=math.exp(float(test.means[i])),
            best=best,
            worst=worst,
            letters=letters[i],
            n=int(test.counts[i]),
            flags=_flags(test.logs(i)),
        )
        for i, (best, worst) in enumerate(places)
    ]


class TukeyTest:
    """One test of a whole group: what it tells apart in the ranks, it tells apart in every pair.

    Args:
        groups: Process means of each configuration.
        direction: Which values are better.
        level: Of all pairs together.

    Raises:
        StatsError: see `rank`.
    """

    def __init__(
        self, groups: Sequence[npt.ArrayLike], *, direction: Direction = "lower", level: float = 0.95
    ) -> None:
        in_unit("level", level)
        known(direction)
        if not groups:
            raise StatsError("no configuration to rank")
        self.direction = direction
        checked = [plain_list(group, 0.0) or positive(group).tolist() for group in groups]
        self.counts = np.array([len(group) for group in checked])
        self._logs = np.log(np.array([value for group in checked for value in group]))
        self._starts = np.concatenate(([0], np.cumsum(self.counts)[:-1]))
        self.means = np.add.reduceat(self._logs, self._starts) / self.counts
        self._several = self.counts > 1
        judged = int(self._several.sum())
        self._scale = math.inf
        if judged >= 2:
            degrees = int((self.counts[self._several] - 1).sum())
            pooled = float(((self._logs - np.repeat(self.means, self.counts)) ** 2).sum()) / degrees
            self._scale = studentised_range(level, judged, degrees) * math.sqrt(pooled / 2)
        self._places: list[tuple[int, int]] = []

    def logs(self, i: int) -> Floats:
        """Return the logarithms of a configuration's process means."""
        logs: Floats = self._logs[self._starts[i] : self._starts[i] + self.counts[i]]
        return logs

    def place(self, i: int) -> tuple[int, int]:
        """Return the best and the worst rank that are possible for a configuration."""
        if not self._places:
            for start in range(0, len(self.means), _AT_ONCE):
                self._places += self._places_of(slice(start, start + _AT_ONCE))
        return self._places[i]

    def compare(self, base: int, head: int, delta: float = 0.01) -> Comparison:
        """Compare two configurations by the simultaneous interval of their ratio (Tukey-Kramer).

        The interval excludes no effect exactly where the ranks tell the two apart.
        """
        centre = float(self.means[head] - self.means[base])
        effect = ratio_less_one(centre)
        if not (self._several[base] and self._several[head]) or not math.isfinite(self._scale):
            return Comparison("inconclusive", effect, None, None, None, 0, None, (WITHIN_RUN,))
        half = self._scale * math.sqrt(1 / self.counts[base] + 1 / self.counts[head])
        if half <= 1e-12:
            least = min(self.counts[base], self.counts[head])
            label = label_of(centre, 0.0, delta, self.direction) if least >= LEAST_EQUAL else "inconclusive"
            return Comparison(label, effect, effect, effect, None, 0, None, (NO_SPREAD,))
        low, high = ratio_less_one(centre - half), ratio_less_one(centre + half)
        label = label_of(centre, half, delta, self.direction)
        return Comparison(label, effect, low, high, None, 0, None)

    def letters(self) -> list[str]:
        """Return compact letters: two share one exactly when they do not differ."""
        differ = self._differ(slice(None))
        order = np.argsort(self.means if self.direction == "lower" else -self.means, kind="stable")
        return _letters(differ, order)

    def _places_of(self, some: slice) -> list[tuple[int, int]]:
        """Return the best and the worst rank of some configurations."""
        differ = self._differ(some)
        sign = 1.0 if self.direction == "lower" else -1.0
        better = sign * self.means < sign * self.means[some, None]
        best, worst = (differ & better).sum(axis=1), (differ & ~better).sum(axis=1)
        return list(zip((1 + best).tolist(), (len(self.means) - worst).tolist(), strict=True))

    def _differ(self, some: slice) -> npt.NDArray[np.bool_]:
        """Tell of each of some configurations which are surely different from it, shape (some, k)."""
        if not math.isfinite(self._scale):
            return np.zeros((len(self.means[some]), len(self.means)), bool)
        least = self._scale * np.sqrt(1 / self.counts[some, None] + 1 / self.counts)
        beyond = np.abs(self.means[some, None] - self.means) > least
        different: npt.NDArray[np.bool_] = beyond & self._several & self._several[some, None]
        return different


def _flags(logs: Floats) -> tuple[str, ...]:
    if len(logs) == 1:
        return (WITHIN_RUN,)
    return (NO_SPREAD,) if np.ptp(logs) == 0 else ()


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
