"""Find the best of many configurations by successive halving over ordinary trials.

Every round measures what is left in one short process each, keeps the best quarter, and gives the next round
four times as long (Jamieson and Talwalkar, 2016, algorithm 1, with a factor of 4). The best that are left are
then measured as the sweep says, with a fresh seed: what won by luck in a round does not win by it again. A
round is a sweep of its own, so that an interrupted search resumes like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.config.models import MeasureConfig
from harness.planning.plan import Plan, PlannedTrial, variant
from harness.records.headline import HEADLINES
from harness.records.metrics import METRICS
from harness.records.results import TrialResult
from harness.stats import StatsError, TukeyTest
from harness.stats.errors import Direction

FACTOR = 4
"""What a round keeps one of, and how many times as long the next one measures."""
FINALISTS = 3
LEAST_S = 0.25
"""Measured time of the first round, where the sweep's own is not shorter."""
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
    """How many configurations a round measures, and for how long each."""

    trials: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found for one piece of work: finalists, the best first."""

    work: str
    metric: str
    finalists: tuple[TrialResult, ...]
    tied: int
    """How many of them the replicas do not tell from the first."""
    keeps: bool
    """Whether the first keeps the limits; where none does it is the nearest."""


def rounds(trials: int, seconds: float) -> list[Round]:
    """Return the rounds before the finalists, for a sweep that measures `seconds` in a replica."""
    found, each = [], min(LEAST_S, seconds)
    while trials > FINALISTS:
        found.append(Round(trials, each))
        trials, each = kept(trials), min(FACTOR * each, seconds)
    return found


def kept(trials: int) -> int:
    """Return how many of a round's configurations go on; nearly as few as finalists are finalists."""
    left = math.ceil(trials / FACTOR)
    return FINALISTS if left <= 2 * FINALISTS else left


def estimated_s(plan: Plan) -> float:
    """Return the least time that the search takes, in seconds."""
    total = 0.0
    for members in _works(plan.runnable).values():
        whole = members[0]
        for each in rounds(len(members), whole.config.measure.seconds):
            total += each.trials * _shortened(whole, each.seconds).replica_s
        total += min(len(members), FINALISTS) * whole.replica_s * whole.config.measure.replicas
    return total


def search(plan: Plan, objective: str, measure: Measure, note: Callable[[str], None]) -> list[Found]:
    """Run the rounds, then the finalists, and return what was found for each piece of work in the plan.

    Args:
        plan: Every configuration; its refused ones are recorded in the first round.
        objective: A key of `OBJECTIVES`, or a metric's id.
        measure: See `Measure`.
        note: Takes one line for the reader.
    """
    groups = _works(plan.runnable)
    left = {work: list(members) for work, members in groups.items()}
    number = 0
    while any(len(members) > FINALISTS for members in left.values()):
        number += 1
        going = {work: members for work, members in left.items() if len(members) > FINALISTS}
        short = {
            work: [_shortened(t, LEAST_S * FACTOR ** (number - 1)) for t in members]
            for work, members in going.items()
        }
        refused = plan.refused if number == 1 else ()
        trials = tuple(t for members in short.values() for t in members)
        note(f"round {number}: {len(trials)} configurations, {trials[0].config.measure.seconds:g} s each")
        results = measure(Plan(f"{plan.sweep}.{number}", (*trials, *refused), plan.overrides))
        for work, members in going.items():
            whole = {s.trial_id: t for s, t in zip(short[work], members, strict=True)}
            best = ranked(_of(results, short[work]), objective)[: kept(len(members))]
            left[work] = [whole[r.trial_id] for r in best]
    last = {work: [_fresh(t) for t in members] for work, members in left.items()}
    finalists = tuple(t for members in last.values() for t in members)
    if not finalists:
        return []
    note(f"the best {len(finalists)} again, with a fresh seed and as the sweep says")
    results = measure(Plan(plan.sweep, finalists, plan.overrides))
    return [
        _found(work, ranked(_of(results, members), objective), objective) for work, members in last.items()
    ]


def ranked(results: Sequence[TrialResult], objective: str) -> list[TrialResult]:
    """Order results by the objective: those that keep their limits, then the others, the nearest first.

    A result without the objective's metric is left out; a limit whose metric is unknown counts as kept.
    """
    metric = metric_of(results, objective)
    sign = -1.0 if metric and METRICS[metric].direction == "higher" else 1.0
    with_value = [(r, v) for r in results if metric and (v := _value(r, metric)) is not None]
    return [r for r, v in sorted(with_value, key=lambda one: (excess(one[0]), sign * one[1]))]


def metric_of(results: Sequence[TrialResult], objective: str) -> str | None:
    """Return the metric that the objective stands for in these results; None where they have none."""
    names = OBJECTIVES.get(objective, (objective,))
    return next((m for m in names if any(_value(r, m) is not None for r in results)), None)


def excess(result: TrialResult) -> float:
    """Return the logarithm of how far a result is beyond the limit that it breaks most; 0 for none."""
    found = [0.0]
    for metric, limit in (result.config.get("report", {}).get("limits") or {}).items():
        value = _value(result, metric)
        if value and limit > 0:
            found.append(math.log(value / limit) * (1 if METRICS[metric].direction == "lower" else -1))
    return max(found)


def _value(result: TrialResult, metric: str) -> float | None:
    e = result.estimates.get(metric)
    return e.value if e is not None and e.value and e.validity != "invalid" else None


def _found(work: str, order: Sequence[TrialResult], objective: str) -> Found:
    metric = metric_of(order, objective) or objective
    keeping = [r for r in order if excess(r) == 0.0]
    rivals = keeping or order[:1]
    tied = 0
    if len(rivals) > 1:
        direction: Direction = "higher" if METRICS[metric].direction == "higher" else "lower"
        try:
            test = TukeyTest([r.values(metric) for r in rivals], direction=direction)
            tied = sum(test.place(i)[0] == 1 for i in range(1, len(rivals)))
        except StatsError:
            tied = len(rivals) - 1
    return Found(work, metric, tuple(order), tied, bool(keeping))


def _works(trials: Sequence[PlannedTrial]) -> dict[str, list[PlannedTrial]]:
    found: dict[str, list[PlannedTrial]] = {}
    for t in trials:
        w = t.config.workload
        found.setdefault(f"{w.name} {w.size} {w.mode}", []).append(t)
    return found


def _of(results: Sequence[TrialResult], trials: Sequence[PlannedTrial]) -> list[TrialResult]:
    ids = {t.trial_id for t in trials}
    return [r for r in results if r.trial_id in ids and r.replicas_ok]


def _shortened(trial: PlannedTrial, seconds: float) -> PlannedTrial:
    """Return the trial as a round measures it: one process, for `seconds`."""
    m = trial.config.measure
    seconds = min(seconds, m.seconds)
    short = {
        "preset": "tune", "replicas": 1, "max_replicas": 1, "within_run_only": True, "profile": False,
        "seconds": seconds, "warmup_s": min(m.warmup_s, seconds),
        "steady_window_s": min(m.steady_window_s, seconds / 2),
    }  # fmt: skip
    measure = MeasureConfig(**{**m.model_dump(), **short})
    words = tuple(f"measure.{key}={str(value).lower()}" for key, value in short.items())
    return variant(trial, {"measure": measure}, words)


def _fresh(trial: PlannedTrial) -> PlannedTrial:
    """Return the trial with other weights and data than the rounds had."""
    return variant(trial, {"seed": trial.config.seed + 1}, (f"seed={trial.config.seed + 1}",))
