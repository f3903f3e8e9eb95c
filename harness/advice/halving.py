"""Find the best of many configurations by successive halving over ordinary trials.

A round measures what is left in short processes, keeps the better half by all that was measured so far, and
the next one gives each of them twice as many processes, so that rounds cost the same (Sequential Halving of
Karnin, Koren and Somekh, 2013, with the evidence of all rounds). It spends processes and not seconds, because
a process is steady inside while two of one configuration differ. The last two are measured as the sweep says,
with a fresh seed: what won by luck in a round does not win by it again. A round is a sweep of its own, so
that an interrupted search resumes like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.config.models import MeasureConfig
from harness.planning.plan import Plan, PlannedTrial, variant
from harness.records.headline import HEADLINES
from harness.records.metrics import METRICS
from harness.records.results import TrialResult
from harness.stats import StatsError, TukeyTest
from harness.stats.errors import Direction

SHORT = 0.2
"""Of the sweep's warm-up and measured time, the share that a process of a round has."""
FINALISTS = 2
SHARE = 1 / 3
"""Of the time that the whole sweep would take at the least, what the search may take."""
OBJECTIVES: Mapping[str, tuple[str, ...]] = {
    "throughput": HEADLINES,
    "latency": ("latency.p50", "iteration.mean"),
    "energy": ("energy.token", "energy.sample", "energy.request", "energy.iteration"),
}
"""What an objective's name stands for: the first of these that the work has."""

Measure = Callable[[Plan], Sequence[TrialResult]]
"""Runs what is missing of a plan and returns what the disk then holds of it."""


@dataclass(frozen=True, slots=True)
class Round:
    """How many configurations a round measures, and in how many processes each."""

    trials: int
    processes: int


@dataclass(frozen=True, slots=True)
class Entrant:
    """A configuration in the search, with what was measured of it."""

    trial: PlannedTrial
    """As the sweep says."""
    results: tuple[TrialResult, ...] = ()
    """Of its rounds."""
    fresh: TrialResult | None = None
    """Of a finalist, with the fresh seed."""

    @property
    def measured(self) -> tuple[TrialResult, ...]:
        """All results."""
        return self.results if self.fresh is None else (*self.results, self.fresh)

    def value(self, metric: str) -> float | None:
        """Return a metric's mean over all processes, None without any."""
        return _mean(self.measured, metric)

    def excess(self) -> float:
        """Return the logarithm of how far it is beyond the limit that it breaks most; 0 for none.

        Of a finalist by its fresh replicas alone: a round is too short for some metrics.
        """
        judged = self.results if self.fresh is None else (self.fresh,)
        found = [0.0]
        for metric, limit in self.trial.config.report.limits.items():
            value = _mean(judged, metric)
            if value and limit > 0:
                found.append(math.log(value / limit) * (1 if METRICS[metric].direction == "lower" else -1))
        return max(found)


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found for one piece of work: finalists, the best first."""

    work: str
    metric: str
    finalists: tuple[TrialResult, ...]
    """As they were measured with the fresh seed."""
    tied: int
    """How many of them the replicas do not tell from the first."""
    keeps: bool
    """Whether the first keeps the limits; where none does it is the nearest."""


def rounds(trials: int, replicas: int, whole_s: float, short_s: float) -> list[Round]:
    """Return the rounds before the finalists.

    Each keeps half and doubles the processes, as far as `SHARE` allows: where a short process takes nearly as
    long as a whole one fewer go on, in fewer processes. The first round measures everything once.

    Args:
        trials: Configurations.
        replicas: Processes of each in the whole sweep.
        whole_s: Seconds of one of them.
        short_s: Seconds of a process of a round.
    """
    found: list[Round] = []
    left_s, processes = (SHARE * trials - FINALISTS) * replicas * whole_s, 1
    while trials > FINALISTS:
        found.append(Round(trials, processes))
        left_s -= trials * processes * short_s
        affordable = max(0, int(left_s / short_s))
        trials = max(FINALISTS, min(math.ceil(trials / 2), affordable))
        processes = max(1, min(2 * processes, affordable // trials))
    return found


def estimated_s(plan: Plan) -> float:
    """Return the least time that the search takes, in seconds."""
    total = 0.0
    for members in _works(plan.runnable).values():
        whole, short = members[0], _shortened(members[0], 1)
        replicas = whole.config.measure.replicas
        for each in rounds(len(members), replicas, whole.replica_s, short.replica_s):
            total += each.trials * each.processes * short.replica_s
        total += min(len(members), FINALISTS) * whole.replica_s * replicas
    return total


def search(plan: Plan, objective: str, measure: Measure, note: Callable[[str], None]) -> list[Found]:
    """Run the rounds, then the finalists, and return what was found for each piece of work in the plan.

    Args:
        plan: Every configuration; its refused ones are recorded in the first round.
        objective: A key of `OBJECTIVES`, or a metric's id.
        measure: See `Measure`.
        note: Takes one line for the reader.
    """
    left = {w: [Entrant(t) for t in members] for w, members in _works(plan.runnable).items()}
    ahead = {w: [Round(len(entrants), 1)] for w, entrants in left.items() if len(entrants) > FINALISTS}
    number = 0
    while going := {w: schedule for w, schedule in ahead.items() if number < len(schedule)}:
        short = {w: [_shortened(e.trial, going[w][number].processes) for e in left[w]] for w in going}
        trials = tuple(t for members in short.values() for t in members)
        processes = sum(t.config.measure.replicas for t in trials)
        refused = plan.refused if number == 0 else ()
        number += 1
        note(f"round {number}: {len(trials)} configurations in {processes} short processes")
        results = measure(Plan(f"{plan.sweep}.{number}", (*trials, *refused), plan.overrides))
        by_id = _good(results)
        for work in going:
            if number == 1:
                ahead[work] = _scheduled(left[work][0].trial, short[work], results)
            seen = [
                replace(e, results=(*e.results, by_id[t.trial_id])) if t.trial_id in by_id else e
                for e, t in zip(left[work], short[work], strict=True)
            ]
            goes_on = ahead[work][number].trials if number < len(ahead[work]) else FINALISTS
            left[work] = ranked(seen, objective)[:goes_on]
            if len(left[work]) <= FINALISTS:
                ahead[work] = []
    fresh = {w: [_fresh(e.trial) for e in entrants] for w, entrants in left.items()}
    finalists = tuple(t for members in fresh.values() for t in members)
    if not finalists:
        return []
    note(f"the best {len(finalists)} again, with a fresh seed and as the sweep says")
    refused = () if number else plan.refused
    by_id = _good(measure(Plan(plan.sweep, (*finalists, *refused), plan.overrides)))
    return [
        _found(
            work,
            [
                replace(e, fresh=by_id[t.trial_id])
                for e, t in zip(left[work], members, strict=True)
                if t.trial_id in by_id
            ],
            objective,
        )
        for work, members in fresh.items()
    ]


def ranked(entrants: Sequence[Entrant], objective: str) -> list[Entrant]:
    """Order by the objective: those that keep their limits, then the others, the nearest first.

    What has no value of the objective is left out; a limit whose metric is unknown counts as kept.
    """
    metric = _metric_of([r for e in entrants for r in e.measured], objective)
    sign = -1.0 if metric and METRICS[metric].direction == "higher" else 1.0
    with_value = [(e, v) for e in entrants if metric and (v := e.value(metric)) is not None]
    return [e for e, v in sorted(with_value, key=lambda one: (one[0].excess(), sign * one[1]))]


def _metric_of(results: Sequence[TrialResult], objective: str) -> str | None:
    """Return the metric that the objective stands for in these results; None where they have none."""
    names = OBJECTIVES.get(objective, (objective,))
    return next((m for m in names if any(_value(r, m) is not None for r in results)), None)


def _mean(results: Sequence[TrialResult], metric: str) -> float | None:
    """Return the mean over all replicas of the results, geometric where a trial's own is."""
    log = METRICS[metric].scale == "log"
    found = [
        (math.log(value) if log else value, result.estimates[metric].n)
        for result in results
        if (value := _value(result, metric)) is not None
    ]
    if not found:
        return None
    mean = sum(value * n for value, n in found) / sum(n for _, n in found)
    return math.exp(mean) if log else mean


def _value(result: TrialResult, metric: str) -> float | None:
    e = result.estimates.get(metric)
    return e.value if e is not None and e.value and e.validity != "invalid" else None


def _found(work: str, finalists: Sequence[Entrant], objective: str) -> Found:
    """Order finalists by all that was measured; whether they are tied, their fresh replicas say alone."""
    fresh = [e.fresh for e in finalists if e.fresh is not None]
    metric = _metric_of(fresh, objective) or objective
    order = ranked([e for e in finalists if e.fresh and _value(e.fresh, metric) is not None], objective)
    keeping = [e for e in order if e.excess() == 0.0]
    rivals = [e.fresh for e in keeping or order[:1] if e.fresh is not None]
    tied = 0
    if len(rivals) > 1:
        direction: Direction = "higher" if METRICS[metric].direction == "higher" else "lower"
        try:
            test = TukeyTest([r.values(metric) for r in rivals], direction=direction)
            tied = sum(test.place(i)[0] == 1 for i in range(1, len(rivals)))
        except StatsError:
            tied = len(rivals) - 1
    return Found(work, metric, tuple(e.fresh for e in order if e.fresh is not None), tied, bool(keeping))


def _works(trials: Sequence[PlannedTrial]) -> dict[str, list[PlannedTrial]]:
    found: dict[str, list[PlannedTrial]] = {}
    for t in trials:
        w = t.config.workload
        found.setdefault(f"{w.name} {w.size} {w.mode}", []).append(t)
    return found


def _good(results: Sequence[TrialResult]) -> dict[str, TrialResult]:
    """Return the results with a good replica, by trial id."""
    return {r.trial_id: r for r in results if r.replicas_ok}


def _scheduled(
    whole: PlannedTrial, short: Sequence[PlannedTrial], results: Sequence[TrialResult]
) -> list[Round]:
    """Return the rounds, now that the first one has shown what a short process takes."""
    ids = {t.trial_id for t in short}
    walls = [record.wall_s for r in results if r.trial_id in ids for record in r.records]
    short_s = sum(walls) / len(walls) if walls else short[0].replica_s
    whole_s = short_s + whole.replica_s - short[0].replica_s
    return rounds(len(short), whole.config.measure.replicas, whole_s, short_s)


def _shortened(trial: PlannedTrial, processes: int) -> PlannedTrial:
    """Return the trial as a round measures it: in so many short processes."""
    m = trial.config.measure
    short = {
        "preset": "tune", "replicas": processes, "max_replicas": processes,
        "within_run_only": processes == 1, "profile": False,
        "seconds": SHORT * m.seconds, "warmup_s": SHORT * m.warmup_s,
        "steady_window_s": SHORT * m.steady_window_s,
    }  # fmt: skip
    measure = MeasureConfig(**{**m.model_dump(), **short})
    words = tuple(f"measure.{key}={str(value).lower()}" for key, value in short.items())
    return variant(trial, {"measure": measure}, words)


def _fresh(trial: PlannedTrial) -> PlannedTrial:
    """Return the trial with other weights and data than the rounds had."""
    return variant(trial, {"seed": trial.config.seed + 1}, (f"seed={trial.config.seed + 1}",))
