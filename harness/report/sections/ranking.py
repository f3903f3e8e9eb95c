"""Order within one workload, mode and size: a rank interval for each trial, never a strict order of ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.records.numbers import EN_DASH
from harness.records.results import Estimate
from harness.report.sections.obstacles import obstacle
from harness.report.sections.speed import SpeedTest
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


def rank(trials: Sequence[Trial], metric_id: str, test: SpeedTest | None = None) -> list[Place]:
    """Place the trials of one group, best value first; those that cannot be ranked come last.

    Two trials are ordered only when Tukey's procedure on their replicas tells them apart
    (docs/method.md, section 3); a trial's rank is the interval that this leaves.
    """
    test = test or SpeedTest(trials, metric_id)
    places = []
    for trial in trials:
        estimate = trial.result.estimates.get(metric_id)
        best, worst = test.place(trial) or (None, None)
        why_not = obstacle(trial, estimate)
        places.append(Place(trial, estimate, best, worst, len(test.ranked), why_not))
    return sorted(places, key=_key)


def _key(place: Place) -> tuple[int, float, str]:
    e = place.estimate
    value = 0.0 if e is None or e.value is None else e.value if e.direction == "lower" else -e.value
    tier = 0 if not place.why_not else 2 if place.why_not in {"invalid", "no value"} else 1
    return (tier, value, place.trial.config)
