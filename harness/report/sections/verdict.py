"""The verdict: what a reader who stops after one page should know, and no more than the intervals allow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from harness.records.numbers import quantity
from harness.records.validity import describe
from harness.report.document import Item
from harness.report.sections import goodput
from harness.report.sections.ranking import Place
from harness.report.sections.tables import shown
from harness.report.text import line, listing, plural
from harness.report.trials import Trial

MOST_WINNERS = 30
MOST_NAMED = 4
ENERGY = ("energy.token", "energy.sample", "energy.request", "energy.iteration")


def outcome(trials: Sequence[Trial], torn: Sequence[str]) -> str:
    """How many trials there are and how they ended."""
    if not trials:
        return "There is no trial to report on."
    counts = Counter(t.result.status for t in trials)
    bad = {status: n for status, n in sorted(counts.items()) if status not in {"ok", "refused"}}
    kinds = f" ({listing([f'{n} {status}' for status, n in bad.items()])})" if bad else ""
    text = (
        f"Of {plural(len(trials), 'trial')}, {counts['ok']} gave a result, {sum(bad.values())} failed{kinds} "
        f"and {counts['refused']} {'was' if counts['refused'] == 1 else 'were'} refused."
    )
    return f"{text} {plural(len(torn), 'record')} could not be read." if torn else text


def winner(places: Sequence[Place]) -> Item | None:
    """What is fastest in one workload, size and mode; ties stay ties, and of a search its outcome counts."""
    if not places:
        return None
    trial = places[0].trial
    term = f"{trial.workload} {trial.mode}"
    if found := goodput.searches([p.trial for p in places]):
        return Item(term, f"{'; '.join(goodput.outcome(rates)[1] for rates in found)}.")
    ranked = [p for p in places if p.best is not None]
    leaders = [p for p in ranked if p.best == 1]
    if not ranked:
        return Item(term, _unranked(places))
    if len(ranked) == 1:
        alone = "" if len(places) == 1 else ", the only one that can be ranked"
        return Item(term, f"{_named(ranked[0])}{alone}.")
    if len(leaders) == 1:
        return Item(term, f"{_named(leaders[0])} is fastest{_lead(leaders[0], ranked)}.")
    more = f" and {len(leaders) - MOST_NAMED} more" if len(leaders) > MOST_NAMED else ""
    named = ", ".join(_named(p) for p in leaders[:MOST_NAMED])
    return Item(term, f"tied, their replicas do not tell them apart: {named}{more}.")


def _unranked(places: Sequence[Place]) -> str:
    """What to say of a group in which nothing can be ranked."""
    measured = [p for p in places if p.why_not in {"within-run only", "no interval"}]
    if not measured:
        reasons = dict.fromkeys(
            line(describe(r)).rstrip(".") for p in places if p.estimate for r in p.estimate.reasons
        )
        return f"no valid throughput ({'; '.join(reasons)})." if reasons else "no valid throughput."
    why = dict.fromkeys(p.why_not for p in measured)
    named = _named(measured[0])
    return f"{named}{' has the highest value' if len(measured) > 1 else ''}; not ranked: {', '.join(why)}."


def _named(place: Place) -> str:
    assert place.estimate is not None
    value, low, high, unit = shown(place.estimate)
    q = quantity(value, unit, low, high)
    number = f"{q.text} [{q.interval}]" if q.interval else q.text
    flagged = " (flagged)" if place.estimate.validity == "flagged" else ""
    return f"{' · '.join(p for p in (place.trial.config, place.trial.where) if p)} at {number}{flagged}"


def _lead(first: Place, ranked: Sequence[Place]) -> str:
    """The least lead over every other that the intervals allow; nothing when it rounds to none."""
    highs = [p.estimate.high for p in ranked if p is not first and p.estimate and p.estimate.high is not None]
    low = first.estimate.low if first.estimate else None
    if low is None or max(highs) <= 0:
        return ""
    ratio = math.floor(100 * low / max(highs)) / 100
    return f", at least {ratio:.2f} times any other" if ratio >= 1.01 else ""


def energy(trials: Sequence[Trial]) -> str:
    """Where energy was measured, or literally why there is none."""
    ok = [t for t in trials if t.result.status == "ok"]
    if not ok:
        return "energy: unavailable (no trial has a result)"
    without = [t for t in ok if not any(_usable(t, m) for m in ENERGY)]
    reasons = _energy_reasons(without)
    if len(without) == len(ok):
        several = len(reasons) > 1
        said = [f"{r}: {plural(n, 'trial')}" if several else r for r, n in reasons.items()]
        return f"energy: unavailable ({listing(said)})"
    text = f"energy: measured in {len(ok) - len(without)} of {plural(len(ok), 'trial')}"
    return f"{text}, unavailable in the others ({listing(list(reasons))})" if without else text


def _energy_reasons(trials: Sequence[Trial]) -> Mapping[str, int]:
    """Why trials have no energy, with how many trials say so, most first."""
    counts: Counter[str] = Counter()
    for t in trials:
        said = [r for m in ENERGY if m in t.result.estimates for r in t.result.estimates[m].reasons]
        counts[line(said[0]) if said else "not measured"] += 1
    return dict(counts.most_common())


def _usable(trial: Trial, metric_id: str) -> bool:
    e = trial.result.estimates.get(metric_id)
    return e is not None and e.value is not None and e.validity != "invalid"
