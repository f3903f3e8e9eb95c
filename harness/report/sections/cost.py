"""The section on money and carbon: ranges, their parts, and every price behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.numbers import quantity
from harness.records.results import TrialResult
from harness.report.document import Block, Cell, Column, Item, Items, Paragraph, Row, Section, Table
from harness.report.sections.tables import NONE, name_cells, name_columns
from harness.report.text import line
from harness.report.trials import Trial

Shown = Mapping[str, Any]
"""A figure as plain data: the fields of `harness.cost.CostFigure`."""
Costs = Mapping[tuple[str, str], Sequence[Shown]]
_RANGE = (
    "The range takes every price and assumption at its low, then at its high end, and the throughput at the "
    "other end of its interval."
)


def cost_key(result: TrialResult) -> tuple[str, str]:
    """Return what a trial's figures are kept by: the same trial on another machine costs something else."""
    return result.trial_id, result.machine_id


def cost_section(named: Sequence[Trial], figures: Costs) -> Section:
    """Show the cost and emissions of each trial that has them; empty without prices.

    Args:
        named: Trials of the report.
        figures: For each trial, by `cost_key`, what `harness.cost.costs` found.
    """
    shown = [(t, list(figures[cost_key(t.result)])) for t in named if figures.get(cost_key(t.result))]
    if not shown:
        return Section("cost", "Cost and carbon", ())
    every = [figure for _, found in shown for figure in found]
    notes = dict.fromkeys(str(note) for figure in every for note in figure["notes"])
    blocks: list[Block] = [Paragraph(" ".join([_RANGE, *(f"{line(n, 160)}." for n in notes)])), _table(shown)]
    said = dict.fromkeys(
        [
            *((("stale"), str(s)) for figure in every for s in figure["stale"]),
            *(
                (("unavailable"), str(figure["reason"]))
                for figure in every
                if figure["mid"] is None and figure["id"] != "break_even"
            ),
        ]
    )
    if said:
        blocks.append(Items(tuple(Item(term, line(text, 300)) for term, text in said)))
    if (inputs := _inputs(every)) is not None:
        blocks.append(inputs)
    return Section("cost", "Cost and carbon", tuple(blocks))


def _table(shown: Sequence[tuple[Trial, Sequence[Shown]]]) -> Table:
    where = any(t.where for t, _ in shown)
    owned = any(f["id"] == "break_even" for _, found in shown for f in found)
    columns = (
        *name_columns(where=where),
        Column("Of"),
        Column("Cost", numeric=True),
        Column("Its parts", wide=True),
        Column("Emissions", numeric=True),
        *([Column("Buying is cheaper from", numeric=True)] if owned else []),
    )
    rows = []
    for t, found in shown:
        money = next((f for f in found if str(f["id"]).startswith("cost")), None)
        carbon = next((f for f in found if str(f["id"]).startswith("carbon")), None)
        of = str(money["title"]).removeprefix("Cost of ") if money and money["mid"] is not None else NONE
        cells = (Cell(line(of, 60)), _cell(money), Cell(_parts(money)), _cell(carbon))
        bought = (_share(next((f for f in found if f["id"] == "break_even"), None)),) if owned else ()
        rows.append(Row((*name_cells(t, where=where), *cells, *bought), t.workload))
    return Table("cost-table", "Cost and carbon", columns, tuple(rows))


def _share(figure: Shown | None) -> Cell:
    """Say from which share of the hours on buying costs less than renting."""
    if figure is None:
        return Cell(NONE, mark="unavailable")
    if figure["mid"] is None:
        return Cell("never")
    share = 100 * float(figure["mid"])
    return Cell(f"{quantity(share, '%').text} of the hours", order=share)


def _cell(figure: Shown | None) -> Cell:
    if figure is None or figure["mid"] is None:
        return Cell(NONE, mark="unavailable")
    low, mid, high = (float(figure[key]) for key in ("low", "mid", "high"))
    shown = quantity(mid, str(figure["unit"]), low, high)
    return Cell(shown.text, shown.interval, order=mid)


def cost_cell(figures: Sequence[Shown]) -> Cell:
    """Return the money of a trial in one cell, with what it is for."""
    money = next((f for f in figures if str(f["id"]).startswith("cost")), None)
    cell = _cell(money)
    if money is None or money["mid"] is None:
        return cell
    per = str(money["title"]).removeprefix("Cost of ").replace("a million", "M").replace("a thousand", "k")
    return Cell(f"{cell.text}/{line(per, 20)}", cell.detail, cell.order)


def _parts(figure: Shown | None) -> str:
    """Say what share of the cost each part is, the largest first."""
    terms = figure["terms"] if figure else None
    if not terms or not (whole := sum(terms.values())):
        return NONE
    ordered = sorted(terms.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {quantity(100 * part / whole, '%').text}" for name, part in ordered if part)


def _inputs(figures: Sequence[Shown]) -> Table | None:
    """Every price and assumption behind the figures, with its source and date."""
    found = {
        (i["name"], i["key"]): i for f in figures for i in f["inputs"] if i["origin"] in {"site", "device"}
    }
    if not found:
        return None
    columns = (
        Column("Input"),
        Column("Of"),
        Column("Low", numeric=True),
        Column("Middle", numeric=True),
        Column("High", numeric=True),
        Column("Unit"),
        Column("Source and date", wide=True),
    )
    rows = [
        Row(
            (
                Cell(line(i["name"], 40)),
                Cell(line(i["key"], 60)),
                *(Cell(f"{i[end]:,.6g}", order=float(i[end])) for end in ("low", "mid", "high")),
                Cell(line(i["unit"], 20)),
                Cell(line(f"{i['source']} ({i['date']})", 200)),
            )
        )
        for i in found.values()
    ]
    note = "What was measured (throughput, power) stands in its own tables."
    return Table("cost-inputs", "Prices and assumptions", columns, tuple(rows), note)
