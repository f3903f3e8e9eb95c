"""What a report is asked when it is drawn, and the answers that it begins with."""

from __future__ import annotations

import argparse
import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records.headline import HEADLINES
from harness.records.machines import machine_names
from harness.records.metrics import METRICS
from harness.records.results import TrialResult

if TYPE_CHECKING:
    from harness.report.sections.decision import Decision
    from harness.report.sections.question import AskedLimits

MOST_CONTENDERS = 200
MOST_EXPLAINED = 4


def decided(results: Sequence[TrialResult], options: argparse.Namespace, as_of: dt.date) -> Decision:
    """Return what the report begins with.

    Raises:
        ValueError: a limit or the requirements file cannot be used; one line.
    """
    from harness.report.sections.decision import Decision
    from harness.report.sections.question import AskedLimits

    limits = AskedLimits(_asked_limits(options.limit))
    answer = None
    if options.requirements:
        from harness.cli.commands.recommend import answer_of

        answer = answer_of(results, Path(options.requirements), options.price, as_of)
        of_work = {k: v for k, v in answer["limits"].items() if k in METRICS}
        limits = AskedLimits(limits.everywhere, of_work, answer["work"])
    good = [r for r in results if r.replicas_ok]
    return Decision(answer, limits, chances(good, limits), explanations(good))


def asked_price(options: argparse.Namespace) -> str | None:
    """Return the price file that was asked for: by `--price`, else by the requirements."""
    if options.price or not options.requirements:
        price: str | None = options.price
        return price
    from harness.advice.requirements import load_requirements
    from harness.cli.commands.recommend import price_beside

    path = Path(options.requirements)
    return price_beside(path, load_requirements(path).price)


def _asked_limits(words: Sequence[str]) -> dict[str, float] | None:
    """Return limits given as `metric=amount`; None where none is.

    Raises:
        ValueError: a word is no limit.
    """
    if not words:
        return None
    from harness.advice.requirements import Requirements

    pairs = dict(word.partition("=")[::2] for word in words)
    needs = Requirements(limits=pairs)
    return {metric: needs.limit(metric) for metric in pairs}


def chances(results: Sequence[TrialResult], limits: AskedLimits) -> dict[tuple[str, str], float]:
    """Return each contender's probability of being the best of its work by throughput, within the limits.

    What lies wholly below the best one's interval is no contender.
    """
    from harness.advice.measured import candidates_of
    from harness.advice.recommend import recommend
    from harness.advice.requirements import Requirements

    groups: dict[tuple[str, ...], list[TrialResult]] = defaultdict(list)
    for r in results:
        workload = r.config.get("workload", {})
        groups[tuple(str(workload.get(k)) for k in ("name", "size", "mode"))].append(r)
    found = {}
    for members in groups.values():
        metric = next((m for m in HEADLINES if any(_rate(r, m) for r in members)), None)
        if metric is None or metric == "throughput.bytes":
            continue
        item = metric.removeprefix("throughput.")
        asked = limits.of(members[0].config)
        own = members[0].config.get("report", {}).get("limits", {}) if asked is None else asked
        known = {k: v for k, v in own.items() if all(k in r.estimates for r in members)}
        needs = Requirements(limits=known)
        answer = recommend(candidates_of(_contenders(members, metric, known), needs, item), needs, item)
        for option in answer.options:
            if option.probability is not None:
                key = option.candidate.result
                found[key.trial_id, key.machine_id] = option.probability
    return found


def _contenders(
    members: Sequence[TrialResult], metric: str, limits: Mapping[str, float]
) -> list[TrialResult]:
    """Return what may be the best: all whose interval reaches that of the fastest that keeps the limits."""
    rated = sorted((r for r in members if _rate(r, metric)), key=lambda r: -_rate(r, metric))
    best = next((r for r in rated if _keeps(r, limits)), None)
    if best is None:
        return rated[:MOST_CONTENDERS]
    least = best.estimates[metric].low or _rate(best, metric)
    reach = [r for r in rated if (r.estimates[metric].high or _rate(r, metric)) >= least]
    return reach[:MOST_CONTENDERS]


def _keeps(result: TrialResult, limits: Mapping[str, float]) -> bool:
    """Say whether the values themselves keep every limit."""
    held = ((METRICS[m].direction, result.estimates[m].value, limit) for m, limit in limits.items())
    return all(
        value is not None and (value <= limit if direction == "lower" else value >= limit)
        for direction, value, limit in held
    )


def _rate(result: TrialResult, metric: str) -> float:
    e = result.estimates.get(metric)
    return float(e.value) if e is not None and e.value and e.validity != "invalid" else 0.0


def explanations(results: Sequence[TrialResult]) -> list[dict[str, Any]]:
    """Explain the same work on two machines, the faster against the slower, the largest differences first."""
    from harness.cli.commands.explain import described

    if len({r.machine_id for r in results}) < 2:
        return []
    names = machine_names(record for r in results for record in r.records)
    by_work: dict[str, list[TrialResult]] = defaultdict(list)
    for r in results:
        by_work[r.work_id].append(r)
    found = []
    for members in by_work.values():
        metric = next((m for m in HEADLINES if all(_rate(r, m) for r in members)), None)
        if metric is None or len({r.machine_id for r in members}) < 2:
            continue
        members.sort(key=lambda r: -_rate(r, metric))
        found.append((_rate(members[0], metric) / _rate(members[-1], metric), members[0], members[-1]))
    found.sort(key=lambda each: -each[0])
    return [described(one, other, names) for _, one, other in found[:MOST_EXPLAINED]]
