"""Machines side by side: the same work on each, as ratios."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.records.numbers import quantity
from harness.report.document import Cell, Column, Measured, Row, Section, Table
from harness.report.sections.obstacles import obstacle
from harness.report.sections.tables import NONE, metric_cell, without_empty
from harness.report.trials import Trial, groups, headline

TIMES = "\u00d7"
ENERGY = ("energy.token", "energy.sample", "energy.request", "energy.byte")
MOST_MACHINES = 5
_NOTE = (
    "The same work, joined by what it computes; ratios to the first machine, with the 95 % interval from the "
    "replicas of both: throughput above one is faster, energy below one is thriftier."
)


def side_by_side_section(ok: Sequence[Trial]) -> Section:
    """Tabulate what several machines have both done; empty for one machine."""
    names = {t.colour: t.machine for t in sorted(ok, key=lambda t: t.colour)}
    if len(names) < 2:
        return Section("machines", "Machines side by side", ())
    order = list(names)[:MOST_MACHINES]
    rows = []
    for members in groups(ok).values():
        metric = headline(members)
        by_work: dict[str, dict[int, Trial]] = defaultdict(dict)
        for t in members:
            by_work[t.result.work_id].setdefault(t.colour, t)
        for held in by_work.values():
            base = held.get(order[0])
            if base is None or len(held) < 2:
                continue
            cells: list[Cell | Measured] = [Cell(f"{base.workload} {base.mode}"), Cell(base.config)]
            cells.append(metric_cell(base.result.estimates.get(metric)))
            for colour in order[1:]:
                other = held.get(colour)
                cells += [_ratio(base, other, metric), _ratio(base, other, _energy(base))]
            rows.append(Row(tuple(cells), base.workload))
    if not rows:
        return Section("machines", "Machines side by side", ())
    columns = [Column("Work"), Column("Configuration"), Column(names[order[0]], numeric=True)]
    for colour in order[1:]:
        columns += [
            Column(f"{names[colour]}: throughput", numeric=True),
            Column(f"{names[colour]}: energy", numeric=True),
        ]
    table = Table("machines-table", "Machines side by side", tuple(columns), tuple(rows), _NOTE)
    return Section("machines", "Machines side by side", (without_empty(table),))


def _energy(trial: Trial) -> str | None:
    found = trial.result.estimates
    return next((m for m in ENERGY if m in found and found[m].value is not None), None)


def _ratio(base: Trial, other: Trial | None, metric: str | None) -> Cell:
    from harness.stats import StatsError, compare_unpaired  # numpy, which importing the report does not need

    if other is None or metric is None:
        return Cell(NONE)
    if any(obstacle(t, t.result.estimates.get(metric)) in {"no value", "invalid"} for t in (base, other)):
        return Cell(NONE, mark="unavailable")
    try:
        found = compare_unpaired(base.result.values(metric), other.result.values(metric))
    except StatsError:  # values that no ratio can be made of
        return Cell(NONE, mark="unavailable")
    ends = (None if end is None else 1 + end for end in (found.low, found.high))
    q = quantity(1 + found.effect, "1", *ends)
    return Cell(q.text + TIMES, q.interval, order=1 + found.effect)
