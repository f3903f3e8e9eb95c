"""The section on money and carbon: one table of ranges, and where the prices come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.report.document import Block, Cell, Column, Item, Items, Paragraph, Row, Section, Table
from harness.report.numbers import quantity
from harness.report.sections.tables import NONE, name_cells, name_columns
from harness.report.text import line
from harness.report.trials import Trial

Shown = Mapping[str, str | float | Sequence[str] | None]
"""A figure as plain data: `title`, `unit`, `low`, `mid`, `high`, `notes`, `sources`, `reason`."""


def cost_section(named: Sequence[Trial], figures: Mapping[str, Sequence[Shown]]) -> Section:
    """Show the cost and emissions of each trial that has them; empty without prices.

    Args:
        named: Trials of the report.
        figures: For each trial, by its id, what `harness.cost.costs` found.
    """
    rows, notes, sources, reasons = [], [], [], []
    where = any(t.where for t in named)
    for trial in named:
        cells = []
        for figure in figures.get(trial.result.trial_id, ()):
            notes += [str(note) for note in figure["notes"] or ()]  # type: ignore[union-attr]
            sources += [str(source) for source in figure["sources"] or ()]  # type: ignore[union-attr]
            if figure["mid"] is None:
                reasons.append(str(figure["reason"]))
            cells.append(_cell(figure))
        if cells:
            titles = [str(figure["title"]) for figure in figures[trial.result.trial_id]]
            rows.append(
                Row((*name_cells(trial, where=where), Cell(line(titles[0], 60)), *cells), trial.workload)
            )
    if not rows:
        return Section("cost", "Cost and carbon", ())
    blocks: list[Block] = [
        Paragraph(
            "The range takes every price and assumption at its low, then at its high end, and the throughput "
            "at the other end of its interval. " + " ".join(f"{line(n, 120)}." for n in dict.fromkeys(notes))
        )
    ]
    columns = (
        *name_columns(where=where),
        Column("Of"),
        Column("Cost", numeric=True),
        Column("Emissions", numeric=True),
    )
    blocks.append(Table("cost-table", "Cost and carbon", columns, tuple(rows)))
    if reasons:
        blocks.append(Items(tuple(Item("unavailable", line(r, 200)) for r in dict.fromkeys(reasons))))
    if sources:
        blocks.append(Items(tuple(Item("source", line(s, 200)) for s in dict.fromkeys(sources))))
    return Section("cost", "Cost and carbon", tuple(blocks))


def _cell(figure: Shown) -> Cell:
    low, mid, high = (figure[key] for key in ("low", "mid", "high"))
    if not isinstance(mid, float) or not isinstance(low, float) or not isinstance(high, float):
        return Cell(NONE, mark="unavailable")
    shown = quantity(mid, str(figure["unit"]), low, high)
    return Cell(shown.text, shown.interval, order=mid)
