"""The answer at a glance: the best of each workload, by how much, how surely, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.records.metrics import METRICS
from harness.records.numbers import quantity
from harness.report.document import Cell, Column, Row, Table
from harness.report.sections.cost import Costs, cost_cell, cost_key
from harness.report.sections.goodput import Rates, apart, best_run, outcome
from harness.report.sections.question import AskedLimits, breaks
from harness.report.sections.ranking import rank
from harness.report.sections.speed import SpeedTest
from harness.report.sections.tables import FLAG, NONE, metric_cell, without_empty
from harness.report.text import percent
from harness.report.trials import Trial, headline

TIMES = "\u00d7"
ENERGY = ("energy.token", "energy.sample", "energy.request", "energy.byte")
MOST_ROWS = 30
_NOTE = (
    "Best by throughput among the trials that keep the limits. It is said to be best where the test of the "
    "ranking tells it from every other; else it is tied with as many as are named. The probability that it "
    "is best comes from draws over the replicas of all. The lead is over the next of the ranking."
)
Chances = Mapping[tuple[str, str], float]
"""Probability of being the best of its group, by trial and machine id."""


def overview_table(
    tests: Sequence[tuple[Sequence[Trial], SpeedTest]],
    limits: AskedLimits,
    chances: Chances,
    costs: Costs,
) -> Table | None:
    """Return one row for each workload and mode, with the best that keeps the limits; None without trials.

    A search for goodput has a row of its own: its rates are loads that were offered, not configurations.
    """
    rows = [row for members, test in tests for row in _rows(members, test, limits, chances, costs)]
    if not rows:
        return None
    columns = (
        Column("Work"),
        Column("Best configuration", wide=True),
        Column("Verdict"),
        Column("Lead", numeric=True),
        Column("Probability", numeric=True),
        Column("Throughput", numeric=True),
        Column("Energy", numeric=True),
        Column("Cost", numeric=True),
    )
    more = len(rows) - MOST_ROWS
    note = _NOTE + (f" {more} more kinds of work stand in the ranked table." if more > 0 else "")
    return without_empty(
        Table("overview", "At a glance", columns, tuple(rows[:MOST_ROWS]), note, sortable=False)
    )


def _rows(
    members: Sequence[Trial],
    test: SpeedTest,
    limits: AskedLimits,
    chances: Chances,
    costs: Costs,
) -> list[Row]:
    """Return a row for each search for goodput, and one for all that is in none."""
    found, rest = apart(members)
    if not found:
        return [_row(members, test, limits, chances, costs)] if members else []
    rows = [_search_row(rates) for rates in found]
    # The probabilities that are at hand are those of a contest with the rates.
    return rows + ([_row(rest, SpeedTest(rest, headline(rest)), limits, {}, costs)] if rest else [])


def _search_row(rates: Rates) -> Row:
    _, words = outcome(rates)
    trial = best_run(rates)
    named = " · ".join(part for part in (trial.config, trial.where) if part)
    work = Cell(f"{trial.workload} {trial.mode}")
    return Row((work, Cell(named), Cell(words), *[Cell(NONE)] * 5), trial.workload)


def _row(
    members: Sequence[Trial],
    test: SpeedTest,
    limits: AskedLimits,
    chances: Chances,
    costs: Costs,
) -> Row:
    work = f"{members[0].workload} {members[0].mode}"
    metric = headline(members)
    keeping = [t for t in members if not breaks(t, limits)]
    if not keeping:
        return Row(
            (Cell(work), Cell("none keeps the limits"), Cell("none"), *[Cell(NONE)] * 5), members[0].workload
        )
    if len(keeping) < len(members):
        test = SpeedTest(keeping, metric)
    places = rank(keeping, metric, test)
    best = places[0].trial
    others = [p.trial for p in places[1:]]
    tied = sum(p.best == 1 for p in places) - 1
    verdict = places[0].why_not or ("the only one" if not others else f"tied with {tied}" if tied else "best")
    lead = test.compare(others[0], best) if others else None
    chance = chances.get((best.result.trial_id, best.result.machine_id)) if others else None
    named = " · ".join(part for part in (best.config, best.where) if part)
    throughput = metric_cell(best.result.estimates.get(metric))
    cells = (
        Cell(work),
        Cell(named),
        Cell(verdict),
        _lead(lead.effect, lead.low, lead.high) if lead is not None else Cell(NONE),
        Cell(NONE if chance is None else percent(chance), order=chance),
        throughput,
        _energy(best),
        cost_cell(costs.get(cost_key(best.result), ())),
    )
    return Row(cells, members[0].workload)


def _lead(effect: float, low: float | None, high: float | None) -> Cell:
    q = quantity(1 + effect, "1", *(None if end is None else 1 + end for end in (low, high)))
    return Cell(q.text + TIMES, q.interval, order=1 + effect)


def _energy(trial: Trial) -> Cell:
    metric = next((m for m in ENERGY if (e := trial.result.estimates.get(m)) and e.value is not None), None)
    if metric is None:
        return Cell(NONE, mark="unavailable")
    cell = metric_cell(trial.result.estimates.get(metric))
    per = METRICS[metric].id.removeprefix("energy.")
    number, _, flag = cell.text.partition(f" {FLAG}")
    flagged = f" {FLAG}{flag}" if FLAG in cell.text else ""
    return Cell(f"{number}/{per}{flagged}", cell.detail, cell.order, cell.mark)
