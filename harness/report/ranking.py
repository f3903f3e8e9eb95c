"""Order within one workload, mode and size: a rank interval for each trial, never a strict order of ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.records.results import Estimate
from harness.report.numbers import EN_DASH
from harness.report.trials import Trial


@dataclass(frozen=True, slots=True)
class Place:
    """A trial's place in its group."""

    trial: Trial
    estimate: Estimate | None
    best: int | None
    """One more than the trials that are surely better; None when it is not ranked."""
    worst: int | None
    """The trials of the group less those that are surely worse."""
    ranked: int
    """How many of the group are ranked."""
    why_not: str = ""
    """Why it is not ranked."""

    @property
    def text(self) -> str:
        """The rank interval: one rank or a range, of how many; a dash when it is not ranked."""
        if self.best is None:
            return EN_DASH
        place = str(self.best) if self.best == self.worst else f"{self.best}{EN_DASH}{self.worst}"
        return f"{place} of {self.ranked}"


def surely_better(a: Estimate, b: Estimate) -> bool:
    """Whether the interval of `a` lies wholly on the better side of the interval of `b`."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.high < b.low if a.direction == "lower" else a.low > b.high


def obstacle(trial: Trial, estimate: Estimate | None) -> str:
    """Why this trial cannot be ranked; empty when it can."""
    if estimate is None or estimate.value is None:
        return "no value"
    if estimate.validity == "invalid":
        return "invalid"
    if trial.within_run_only:
        return "within-run only"
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return ""


def rank(trials: Sequence[Trial], metric_id: str) -> list[Place]:
    """Place the trials of one group, best value first; those that cannot be ranked come last.

    Two trials are ordered only when their intervals do not overlap. A trial's rank is the interval from
    1 + (trials surely better) to n - (trials surely worse).
    """
    pairs = [(t, t.result.estimates.get(metric_id)) for t in trials]
    ranked = [(t, e) for t, e in pairs if e is not None and not obstacle(t, e)]
    places = []
    for trial, estimate in pairs:
        why_not = obstacle(trial, estimate)
        if why_not or estimate is None:
            places.append(Place(trial, estimate, None, None, len(ranked), why_not))
            continue
        better = sum(surely_better(other, estimate) for _, other in ranked)
        worse = sum(surely_better(estimate, other) for _, other in ranked)
        places.append(Place(trial, estimate, 1 + better, len(ranked) - worse, len(ranked)))
    return sorted(places, key=_key)


def _key(place: Place) -> tuple[int, float, str]:
    e = place.estimate
    value = 0.0 if e is None or e.value is None else e.value if e.direction == "lower" else -e.value
    tier = 0 if not place.why_not else 2 if place.why_not in {"invalid", "no value"} else 1
    return (tier, value, place.trial.config)
