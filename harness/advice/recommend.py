"""The best configuration under requirements: with what probability, and which limits bind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.advice.candidates import Candidate
from harness.advice.fleet import (
    Outcome,
    evaluate,
    higher_is_better,
    missing,
    objective_metric,
)
from harness.advice.requirements import Requirements

TIED = 0.05
"""Two are tied when the one that looks worse is the better one with at least this probability."""
_GAIN = 1e-9


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate that can be judged, and what becomes of it."""

    candidate: Candidate
    units: int
    value: float
    """Of the objective."""
    keeps: Mapping[str, float]
    """By limit, the probability that it is kept."""
    broken: tuple[str, ...]
    """Limits that its measured values break."""
    excess: float
    """How many times its worst limit is exceeded; at most 1 when all are kept."""
    worst: str
    """The limit that is exceeded most; empty when none is."""
    probability: float | None
    """Of being the best; None where a lack of replicas allows none."""
    tied: bool = False
    """With the best: the replicas do not tell them apart."""
    needed: float | None = None
    """The factor by which its objective would have to change to win."""

    @property
    def devices(self) -> int:
        """Devices of the whole fleet."""
        return self.units * self.candidate.devices


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer to a question."""

    needs: Requirements
    item: str
    objective: str
    """A metric id, `cost` or `carbon`."""
    best: Option | None
    options: tuple[Option, ...]
    """All that keep the limits, best first."""
    failing: tuple[Option, ...]
    """All that do not, the nearest first."""
    unknown: tuple[tuple[Candidate, str], ...]
    """What cannot be judged, and why."""
    binding: tuple[tuple[str, float], ...]
    """Limits without which the best would be better, each with the factor gained; the strongest first."""

    @property
    def tied(self) -> tuple[Option, ...]:
        """Options that the replicas do not tell from the best."""
        return tuple(o for o in self.options if o.tied)


def recommend(candidates: Sequence[Candidate], needs: Requirements, item: str) -> Recommendation:
    """Choose among measured configurations, and say how surely.

    A draw is one possible truth of all candidates; the probability of being the best is the share of draws
    in which a candidate keeps every limit and none that does is better.

    Args:
        candidates: All that were measured of one work.
        needs: The question.
        item: What is counted: `tokens`, `samples` or `requests`.
    """
    judged = [c for c in candidates if not missing(c, needs, item)]
    unknown = tuple((c, why) for c in candidates if (why := missing(c, needs, item)))
    objective = objective_metric(needs.objective, item)
    sign = -1.0 if higher_is_better(objective) else 1.0
    points = [evaluate(c, needs, c.values, item) for c in judged]
    drawn = [evaluate(c, needs, c.draws, item) for c in judged]
    costs = np.array([_cost(o, sign) for o in drawn]) if judged else np.empty((0, 0))
    chances = _chances(costs)
    replicated = all(c.replicated for c in judged)
    options = [
        _option(c, point, outcome, chance if replicated else None)
        for c, point, outcome, chance in zip(judged, points, drawn, chances, strict=True)
    ]
    feasible = sorted(
        (i for i, o in enumerate(options) if not o.broken and o.units >= 1),
        key=lambda i: sign * options[i].value,
    )
    if feasible:
        first = feasible[0]
        options = [
            _against(o, options[first], costs[i], costs[first], is_best=i == first)
            for i, o in enumerate(options)
        ]
    kept = tuple(options[i] for i in feasible)
    rest = sorted((o for i, o in enumerate(options) if i not in feasible), key=lambda o: o.excess)
    best = kept[0] if kept else None
    binding = _binding(judged, points, needs, item, sign, best)
    return Recommendation(needs, item, objective, best, kept, tuple(rest), unknown, binding)


def _cost(outcome: Outcome, sign: float) -> np.ndarray:
    """The objective of each draw, less being better, and beyond all where a limit is broken."""
    return np.where(outcome.kept(), sign * outcome.value, np.inf)


def _chances(costs: np.ndarray) -> list[float]:
    """Return each row's probability of being the least; a tie within a draw is shared."""
    if not costs.size:
        return []
    least = costs.min(axis=0)
    hit = (costs == least) & np.isfinite(least)
    shared = hit / np.maximum(hit.sum(axis=0), 1)
    return [float(p) for p in shared.mean(axis=1)]


def _option(c: Candidate, point: Outcome, drawn: Outcome, chance: float | None) -> Option:
    excess = {name: float(e[0]) for name, e in point.excess.items()}
    units = float(point.units[0])
    broken = tuple(name for name, e in excess.items() if e > _GAIN)
    worst = max(excess, key=lambda name: excess[name], default="")
    return Option(
        c,
        int(units) if np.isfinite(units) else 0,
        float(point.value[0]),
        {name: float((e <= _GAIN).mean()) for name, e in drawn.excess.items()},
        broken,
        float(np.exp(max(excess.values(), default=0.0))),
        worst if broken else "",
        chance,
    )


def _against(option: Option, best: Option, mine: np.ndarray, its: np.ndarray, *, is_best: bool) -> Option:
    if is_best or option.broken:
        return option
    better = float(((mine < its) + 0.5 * (mine == its)).mean())
    known = option.probability is not None
    return replace(option, tied=known and better >= TIED, needed=best.value / option.value)


def _binding(
    judged: Sequence[Candidate],
    points: Sequence[Outcome],
    needs: Requirements,
    item: str,
    sign: float,
    best: Option | None,
) -> tuple[tuple[str, float], ...]:
    """Waive one limit at a time, and see by what factor the best objective would be better."""
    if best is None:
        return ()
    found = []
    for name in {name: None for point in points for name in point.excess}:
        waived = [evaluate(c, needs, c.values, item, ignore=(name,)) for c in judged]
        values = [sign * float(o.value[0]) for o in waived if bool(o.kept()[0])]
        gain = sign * best.value - min(values, default=np.inf)
        if gain > _GAIN * abs(best.value):
            least = sign * min(values)
            factor = least / best.value if sign < 0 else best.value / least
            found.append((name, float(factor)))
    return tuple(sorted(found, key=lambda each: -each[1]))
