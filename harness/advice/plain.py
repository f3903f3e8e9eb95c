"""A recommendation as plain data: what the console, the report and a program are given alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.advice.candidates import Candidate
from harness.advice.fleet import objective_metric
from harness.advice.overturn import between, price_to_win
from harness.advice.recommend import Option, Recommendation
from harness.cost import Basis, ratio, tornado, turning
from harness.cost.derive import extreme, per_item
from harness.cost.equations import money_terms, total
from harness.cost.inputs import trial_key
from harness.records.metrics import METRICS

MOST_SWINGS = 8


def plain(answer: Recommendation, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return the answer with every number that it came from."""
    needs = answer.needs
    work = {"name": needs.work.workload, "size": needs.work.size, "mode": needs.work.mode}
    stale = dict.fromkeys(line for c in candidates if c.basis for line in c.basis.stale)
    notes = dict.fromkeys(note for c in candidates if c.basis for note in c.basis.notes)
    flags = [
        f"{c.label}: {', '.join(dict.fromkeys(flag.partition(': ')[2] for flag in c.flagged))}"
        for c in candidates
        if c.flagged
    ]
    return {
        "question": needs.question,
        "work": {k: v for k, v in work.items() if v is not None},
        "load_per_s": needs.per_s,
        "item": answer.item,
        "objective": answer.objective,
        "objective_unit": unit_of(answer),
        "head_room": needs.head_room if needs.per_s is not None else None,
        "limits": {metric: needs.limit(metric) for metric in needs.limits}
        | {k: v for k, v in needs.fleet.model_dump().items() if v is not None},
        "best": _option(answer.best, answer) if answer.best else None,
        "options": [_option(o, answer) for o in answer.options],
        "failing": [_option(o, answer) for o in answer.failing],
        "unknown": [{"label": c.label, "reason": why} for c, why in answer.unknown],
        "binding": [{"limit": name, "gain": gain} for name, gain in answer.binding],
        "between": [
            {
                "label": b.candidate.label,
                "batch": b.batch,
                "measured": list(b.measured),
                "limit": b.limit,
                "throughput": b.throughput,
            }
            for b in between(answer, candidates)
        ],
        "overturn": _overturn(answer),
        "stale": list(stale),
        "notes": list(notes),
        "flags": flags,
    }


def unit_of(answer: Recommendation) -> str:
    """Return the unit of the objective."""
    if answer.objective == "cost":
        basis = next(
            (o.candidate.basis for o in (*answer.options, *answer.failing) if o.candidate.basis), None
        )
        return basis.currency if basis else ""
    if answer.objective == "carbon":
        return "kgCO2e"
    return METRICS[answer.objective].unit


def _option(o: Option, answer: Recommendation) -> dict[str, Any]:
    c = o.candidate
    rate = c.values[f"throughput.{answer.item}"]
    shown = dict.fromkeys(
        [f"throughput.{answer.item}", f"energy.{answer.item[:-1]}", "power.mean", *answer.needs.limits]
    )
    if objective_metric(answer.objective, answer.item) in METRICS:
        shown[objective_metric(answer.objective, answer.item)] = None
    estimates = {m: c.result.estimates[m] for m in shown if m in c.values}
    won = price_to_win(o, answer) if o is not answer.best and not o.broken else None
    return {
        "label": c.label,
        "configuration": c.name,
        "machine": c.machine,
        "machine_id": c.result.machine_id,
        "trial_id": c.result.trial_id,
        "replicas": c.result.replicas_ok,
        "units": o.units,
        "devices": o.devices,
        "objective": o.value,
        "throughput_of_all": rate * o.units,
        "probability": o.probability,
        "tied": o.tied,
        "needed": o.needed,
        "price_to_win": None if won is None else {"input": won[0], "now": won[1], "at": won[2]},
        "keeps": dict(o.keeps),
        "broken": list(o.broken),
        "worst": o.worst,
        "excess": o.excess,
        "measured": {
            m: {"value": e.value, "low": e.low, "high": e.high, "unit": e.unit, "validity": e.validity}
            for m, e in estimates.items()
        },
        "cost": _cost(c.basis) if c.basis else None,
        "inputs": [asdict(i) for i in c.basis.money.values()] if c.basis else [],
    }


def _cost(basis: Basis) -> dict[str, Any]:
    ends = {
        case: basis.many * float(total(per_item(money_terms, extreme(basis.money, case))))
        for case in ("low", "mid", "high")
    }
    return {**ends, "unit": basis.currency, "items": basis.many, "item": basis.item}


def _overturn(answer: Recommendation) -> dict[str, Any] | None:
    """What could turn best and runner-up around, where both have a price."""
    if len(answer.options) < 2 or answer.objective != "cost":
        return None
    best, other = answer.options[:2]
    a, b = best.candidate.basis, other.candidate.basis
    if a is None or b is None:
        return None
    turns = {}
    for name in ("per_kwh", "utilisation"):
        if name in a.money and name in b.money:
            turns[name] = turning(b, a, name, sides="both")
    # What was measured is called as the candidates are.
    called = {trial_key(o.candidate.result): o.candidate.label for o in (best, other)}
    swings = [
        asdict(s) | {"size": s.size, "key": called.get(s.key, s.key)} for s in tornado(b, a)[:MOST_SWINGS]
    ]
    return {
        "against": other.candidate.label,
        "ratio": asdict(ratio(b, a)),
        "turning": {name: value for name, value in turns.items() if value is not None},
        "tornado": swings,
        "unit": a.currency,
    }
