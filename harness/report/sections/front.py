"""The one figure of the first page: what the trials of a group trade, and which are on the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.records.results import Estimate
from harness.report.document import Front, FrontMark
from harness.report.sections.cost import Costs, Shown, cost_key
from harness.report.sections.plots import drawable, machines_of
from harness.report.text import percent
from harness.report.trials import Trial, headline

MOST_MARKS = 40
ENERGY = ("energy.token", "energy.sample", "energy.request", "energy.byte")
LATENCY = ("latency.p99", "latency.p90", "latency.p50", "iteration.mean")
LEAST = 3
"""Trials from which on a front says more than a table."""


def front_figure(members: Sequence[Trial], costs: Costs) -> Front | None:
    """Plot cost against energy where both are known, else energy, else latency against throughput."""
    metric = headline(members) if members else ""
    for other in (*ENERGY, *LATENCY):
        drawn = [t for t in members if drawable(t, other) and drawable(t, metric)][:MOST_MARKS]
        if len(drawn) >= LEAST:
            break
    else:
        return None
    money = {cost_key(t.result): _money(costs.get(cost_key(t.result), ())) for t in drawn}
    by_cost = other in ENERGY and all(money.values())
    x, y = _axis(drawn, other), _axis(drawn, metric)
    marks = []
    chances = _chances(drawn, other, metric, money if by_cost else None)
    for t, chance in zip(drawn, chances, strict=True):
        across = _estimate(t, other)
        up = None if by_cost else _estimate(t, metric)
        value = money[cost_key(t.result)] if by_cost else float(up.value or 0.0) if up else 0.0
        label = t.config if chance is None else f"{t.config}, {percent(chance)}"
        marks.append(FrontMark(label, float(across.value or 0.0), float(value or 0.0), chance, t.colour))
    unit = _unit(costs, drawn) if by_cost else y[1]
    title = "Cost against energy" if by_cost else f"{y[0]} against {x[0].lower()}"
    return Front(
        "front",
        title,
        (x[0], x[1]),
        ("Cost", unit) if by_cost else y,
        tuple(marks),
        f"{members[0].workload} {members[0].mode}. The percentage is the probability of being on the front: "
        "that no other is at least as good in both and better in one.",
        higher=not by_cost,
        machines=machines_of(drawn),
        workload=members[0].workload,
    )


def _chances(
    drawn: Sequence[Trial],
    other: str,
    metric: str,
    money: Mapping[tuple[str, str], float | None] | None,
) -> list[float | None]:
    """Return each trial's probability of being on the front; None for all where one has a single replica.

    Of the two that are drawn: a replica's cost is the trial's over its share of the trial's throughput.
    """
    from harness.stats import StatsError, pareto  # numpy, which importing the report does not need

    points = []
    for t in drawn:
        rate, cost = _estimate(t, metric).value or 0.0, money[cost_key(t.result)] if money else None
        points.append(
            [
                (a.value, b.value if cost is None else cost * rate / b.value)
                for r in t.result.replicas()
                if (a := r.metric(other)) and (b := r.metric(metric)) and a.value and b.value
            ]
        )
    try:
        return [*pareto(points, ["lower", "lower" if money else "higher"])]
    except StatsError:
        return [None] * len(drawn)


def _estimate(trial: Trial, metric: str) -> Estimate:
    return trial.result.estimates[metric]


def _axis(drawn: Sequence[Trial], metric: str) -> tuple[str, str]:
    e = _estimate(drawn[0], metric)
    return e.title, e.unit


def _money(figures: Sequence[Shown]) -> float | None:
    money = next((f for f in figures if str(f["id"]).startswith("cost") and f["mid"] is not None), None)
    return float(money["mid"]) if money is not None else None


def _unit(costs: Costs, drawn: Sequence[Trial]) -> str:
    figure = next(f for f in costs[cost_key(drawn[0].result)] if str(f["id"]).startswith("cost"))
    return str(figure["unit"])
