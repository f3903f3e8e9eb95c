"""The verdict: what a reader who stops after one paragraph should know, and no more than the intervals allow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from harness.report.document import Item
from harness.report.numbers import quantity
from harness.report.ranking import Place
from harness.report.tables import shown
from harness.report.text import line, listing, plural
from harness.report.trials import Trial

MOST_WINNERS = 30
ENERGY = ("energy.token", "energy.sample", "energy.iteration")


def outcome(trials: Sequence[Trial], torn: Sequence[str]) -> str:
    """How many trials there are and how they ended."""
    counts = Counter(t.result.status for t in trials)
    if not trials:
        return "There is no trial to report on."
    parts = [f"{plural(len(trials), 'trial')}: {counts['ok']} ok"]
    failed = sum(n for status, n in counts.items() if status not in {"ok", "refused"})
    kinds = [f"{n} {status}" for status, n in sorted(counts.items()) if status not in {"ok", "refused"}]
    parts.append(f"{failed} failed" + (f" ({listing(kinds)})" if kinds else ""))
    parts.append(f"{counts['refused']} refused")
    text = ", ".join(parts) + "."
    if torn:
        text += f" {plural(len(torn), 'record')} could not be read."
    return text


def winner(places: Sequence[Place]) -> Item | None:
    """What is fastest in one workload, size and mode; ties stay ties."""
    if not places:
        return None
    trial = places[0].trial
    term = f"{trial.workload} {trial.mode}".strip()
    ranked = [p for p in places if p.best is not None]
    if not ranked:
        measured = [p for p in places if p.why_not in {"within-run only", "no interval"}]
        if not measured:
            return Item(term, "no valid throughput.")
        reason = measured[0].why_not
        if len(measured) == 1:
            return Item(term, f"{_name(measured[0])}: {_number(measured[0])}, {reason}.")
        return Item(term, f"not ranked ({reason}); highest value {_number(measured[0])} with {_name(measured[0])}.")
    leaders = [p for p in ranked if p.best == 1]
    if len(ranked) == 1:
        return Item(term, f"{_number(ranked[0])} with {_name(ranked[0])}, the only one ranked.")
    if len(leaders) == 1:
        return Item(term, f"{_name(leaders[0])} is fastest, {_number(leaders[0])}{_lead(leaders[0], ranked)}.")
    names = listing([_name(p) for p in leaders])
    tied = "all are tied" if len(leaders) == len(ranked) else "tied for fastest"
    return Item(term, f"{names}: {tied}, their intervals overlap; from {_number(leaders[0])} down.")


def _name(place: Place) -> str:
    return " · ".join(p for p in (place.trial.config, place.trial.where) if p)


def _number(place: Place) -> str:
    assert place.estimate is not None
    value, low, high, unit = shown(place.estimate)
    q = quantity(value, unit, low, high)
    return f"{q.text} [{q.interval}]" if q.interval else q.text


def _lead(first: Place, ranked: Sequence[Place]) -> str:
    """The least lead over every other that the intervals allow; nothing when it rounds to none."""
    others = [p.estimate for p in ranked if p is not first]
    e = first.estimate
    assert e is not None and e.low is not None
    ceiling = max(o.high for o in others if o is not None and o.high is not None)
    ratio = math.floor(100 * e.low / ceiling) / 100 if ceiling > 0 else 0.0
    return f", at least {ratio:.2f} times any other" if ratio >= 1.01 else ""


def energy(trials: Sequence[Trial]) -> str:
    """Where energy was measured, or literally why there is none."""
    ok = [t for t in trials if t.result.status == "ok"]
    have = [t for t in ok if any(_value(t, m) for m in ENERGY)]
    reasons = energy_reasons([t for t in ok if t not in have])
    if not ok:
        return "energy: unavailable (no trial finished)"
    why = "; ".join(r if len(reasons) == 1 and not have else f"{r}: {plural(n, 'trial')}" for r, n in reasons.items())
    if not have:
        return f"energy: unavailable ({why})"
    text = f"energy: measured in {len(have)} of {plural(len(ok), 'trial')}"
    return f"{text}; unavailable in the others ({why})" if reasons else text


def energy_reasons(trials: Sequence[Trial]) -> Mapping[str, int]:
    """Why trials have no energy, with how many trials say so, most first."""
    counts: Counter[str] = Counter()
    for t in trials:
        found = [t.result.estimates[m] for m in ENERGY if m in t.result.estimates]
        said = [r for e in found for r in e.reasons]
        counts[line(said[0]) if said else "not measured"] += 1
    return dict(counts.most_common())


def _value(trial: Trial, metric_id: str) -> bool:
    e = trial.result.estimates.get(metric_id)
    return e is not None and e.value is not None and e.validity != "invalid"
