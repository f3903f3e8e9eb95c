"""What is plotted: points and labels taken from trials, limited so that a figure stays readable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.records.numbers import EN_DASH, quantity
from harness.records.results import Estimate
from harness.report.document import Block, Paragraph, Plot, PlotRow, Point
from harness.report.sections.tables import FLAG, shown
from harness.report.text import plural
from harness.report.trials import Trial, groups

MOST_ROWS = 24
"""Rows of one figure; the table holds the others."""
MOST_FIGURES = 16
"""Figures of one section."""


def plots(section: str, axis: str, series: Mapping[str, str], trials: Sequence[Trial]) -> list[Plot]:
    """Plot metrics, one figure a workload and unit.

    Args:
        section: Prefix of the figures' ids.
        axis: What is plotted, e.g. `Latency`.
        series: Metric id to its name in the legend; the first one's value is written beside the row.
        trials: Trials with results, best first in each group.
    """
    workloads = list(dict.fromkeys(t.workload for t in trials))
    found: list[Plot] = []
    for workload in workloads:
        members = [t for t in trials if t.workload == workload]
        units = {e.unit for t in members for m in series if (e := drawable(t, m)) is not None}
        found += [
            plot
            for unit in sorted(units)
            if (plot := _plot(f"{section}-{len(found)}", axis, unit, series, members)) is not None
        ]
    return found


def limited(figures: Sequence[Plot]) -> list[Block]:
    """Return as many figures as a section may have, and a line on those that are left out."""
    shown: list[Block] = list(figures[:MOST_FIGURES])
    if len(figures) > MOST_FIGURES:
        left = len(figures) - MOST_FIGURES
        shown.append(
            Paragraph(
                f"{plural(left, 'figure')} left out to keep the report readable; the table has all.", "note"
            )
        )
    return shown


def _plot(
    plot_id: str,
    axis: str,
    unit: str,
    series: Mapping[str, str],
    members: Sequence[Trial],
) -> Plot | None:
    by_group: list[list[tuple[Trial, dict[str, Estimate]]]] = []
    used: set[str] = set()
    for group in groups(members).values():
        held = []
        for t in group:
            drawn = {m: e for m in series if (e := drawable(t, m)) is not None and e.unit == unit}
            if drawn:
                used |= drawn.keys()
                held.append((t, drawn))
        if held:
            by_group.append(held)
    if not by_group:
        return None
    each = max(1, MOST_ROWS // len(by_group))
    rows_kept = tuple(
        _row(t, drawn, series, first=i == 0)
        for held in by_group[:MOST_ROWS]
        for i, (t, drawn) in enumerate(held[:each])
    )
    total = sum(len(held) for held in by_group)
    legend = tuple(series[m] if m in used else "" for m in series)
    names = [name for name in legend if name]
    points = [p for r in rows_kept for p in r.points]
    bars = any(p.low is not None for p in points)
    caption = f"Dots are values{', bars their intervals' if bars else ''}."
    if len(names) > 1:
        caption += f" The number on the right is {names[0]}."
    if any(p.flagged for p in points):
        caption += f" An open marker ({FLAG} in the tables) is a flagged value."
    if total > len(rows_kept):
        left = plural(total - len(rows_kept), "trial")
        caption += f" {left} of {total} left out here: the best of each mode are drawn, the table has all."
    machines = machines_of(members)
    workload = members[0].workload
    return Plot(plot_id, workload, workload, axis, unit, legend, rows_kept, caption, machines)


def _row(trial: Trial, drawn: Mapping[str, Estimate], series: Mapping[str, str], *, first: bool) -> PlotRow:
    label = " ".join(p for p in (trial.mode, trial.config, trial.where) if p and p != EN_DASH)
    names = list(series)
    points = []
    for metric, e in drawn.items():
        value, low, high, _ = shown(e)
        points.append(Point(names.index(metric), value, low, high, e.validity == "flagged", trial.colour))
    value, low, high, unit = shown(next(iter(drawn.values())))
    return PlotRow(label, tuple(points), quantity(value, unit, low, high).text, first)


def machines_of(members: Sequence[Trial]) -> tuple[str, ...]:
    """Return the machines' names by their colours; none where all is of one machine."""
    named = {t.colour: t.machine for t in members}
    if len(named) < 2:
        return ()
    return tuple(named.get(i, "") for i in range(max(named) + 1))


def drawable(trial: Trial, metric_id: str) -> Estimate | None:
    """Return the estimate if a figure may show it."""
    e = trial.result.estimates.get(metric_id)
    return e if e is not None and e.value is not None and e.validity in {"valid", "flagged"} else None
