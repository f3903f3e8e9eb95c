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
    """One more than the trials that are better beyond doubt; None when it is not ranked."""
    worst: int | None
    """The trials of the group less those that are worse beyond doubt."""
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

    Two trials are ordered only when Tukey's procedure on their replicas tells them apart
    (docs/method.md, section 3); a trial's rank is the interval that this leaves.
    """
    from harness.stats import rank as tukey  # numpy, which importing the report does not need

    pairs = [(t, t.result.estimates.get(metric_id)) for t in trials]
    ranked = [(t, e) for t, e in pairs if e is not None and not obstacle(t, e)]
    groups = [t.result.values(metric_id) for t, _ in ranked]
    lower = any(e.direction == "lower" for _, e in ranked)
    stand = iter(tukey(groups, direction="lower" if lower else "higher") if groups else ())
    places = []
    for trial, estimate in pairs:
        why_not = obstacle(trial, estimate)
        found = None if why_not else next(stand)
        best, worst = (found.best, found.worst) if found else (None, None)
        places.append(Place(trial, estimate, best, worst, len(ranked), why_not))
    return sorted(places, key=_key)


def _key(place: Place) -> tuple[int, float, str]:
    e = place.estimate
    value = 0.0 if e is None or e.value is None else e.value if e.direction == "lower" else -e.value
    tier = 0 if not place.why_not else 2 if place.why_not in {"invalid", "no value"} else 1
    return (tier, value, place.trial.config)
