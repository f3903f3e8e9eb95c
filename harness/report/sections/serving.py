"""Serving under load: what users see at each load, and which loads are on the front of all against one."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.document import Block, Cell, Column, Front, FrontMark, Row, Section, Table
from harness.report.sections.balancing import balancing, servers
from harness.report.sections.goodput import goodput_table
from harness.report.sections.loadgen import loadgen_table, scenario
from harness.report.sections.plots import drawable, machines_of
from harness.report.sections.tables import NONE, metric_cell, name_cells, name_columns
from harness.report.text import percent, plural
from harness.report.trials import Trial, fact, groups

MODE = "serve"
ALL, ONE = "throughput.tokens", "interactivity"
MOST_MARKS = 40
LEAST = 3
"""Loads from which on a curve says more than a table."""
_METRICS = {
    ALL: "Throughput",
    ONE: "Interactivity",
    "latency.ttft.p50": "TTFT p50",
    "latency.ttft.p90": "TTFT p90",
    "latency.tpot.p50": "TPOT p50",
    "latency.e2e.p90": "Request p90",
    "goodput.share": "Within limits",
    "requests.failed": "Without answer",
    "energy.token": "Energy per token",
}
_NOTE = (
    "Load: users of a closed loop, or requests/s of an open one. Interactivity is what one user sees, "
    "1 / median time per output token. Fell behind: requests came faster than they were answered, so that "
    "latencies grow with the span; a load that kept up and misses its limits is limited by latency. Front: "
    "the probability that no other load of the group has both more throughput and more interactivity."
)


def serving_section(ok: Sequence[Trial]) -> Section:
    """Tabulate every load that was served, and draw throughput against interactivity of each group.

    Trials that LoadGen drove have a table of their own.
    """
    where = any(t.where for t in ok)
    rows: list[Row] = []
    figures: list[Block] = []
    served = [t for t in ok if t.mode == MODE]
    driven = [t for t in served if scenario(t) is not None]
    for members in _curves([t for t in served if scenario(t) is None]):
        loads = sorted(members, key=_load)
        chances = _chances(loads)
        for i, (trial, chance) in enumerate(zip(loads, chances, strict=True)):
            rows.append(_row(trial, chance, where=where, first=i == 0))
        figure = _curve(loads, chances, f"load-curve-{len(figures)}")
        figures += [] if figure is None else [figure]
    columns = (
        *name_columns(where=where),
        Column("Load"),
        *(Column(title, numeric=True) for title in _METRICS.values()),
        Column("Kept up"),
        Column("Front", numeric=True),
    )
    table = Table("serving-table", "Serving under load", columns, tuple(rows), _NOTE)
    tables = [goodput_table(served), loadgen_table(driven) if driven else None]
    more = [table for table in tables if table is not None]
    blocks = [*([table] if rows else []), *figures, *balancing(served), *more]
    return Section("serving", "Serving", tuple(blocks))


def _curves(served: Sequence[Trial]) -> list[list[Trial]]:
    """Gather the loads of one curve: equal servers, or one engine."""
    found = dict[tuple[str, ...], list[Trial]]()
    for name, members in groups(served).items():
        for trial in members:
            keys = (("workload", "url"), ("serve", "engines"), ("serve", "balance"))
            several = [str(fact(trial.result.config, *key)) for key in keys] if servers(trial) > 1 else []
            found.setdefault((*name, *several), []).append(trial)
    return list(found.values())


def _row(trial: Trial, chance: float | None, *, where: bool, first: bool) -> Row:
    load = _load(trial)
    shown = plural(int(load[1]), "user") if load[0] == "closed" else f"{load[1]:g} requests/s, {load[0]}"
    cells = (
        *name_cells(trial, where=where),
        Cell(shown, order=load[1]),
        *(metric_cell(trial.result.estimates.get(metric)) for metric in _METRICS),
        Cell(_kept_up(trial)),
        Cell(NONE if chance is None else percent(chance), order=chance or 0.0),
    )
    return Row(cells, trial.workload, first=first)


def _load(trial: Trial) -> tuple[str, float]:
    """Return the kind of arrivals, and how many users or requests/s; 0 where a trace tells its own."""
    arrivals = str(fact(trial.result.config, "serve", "arrivals") or "closed")
    key = "concurrency" if arrivals == "closed" else "rate_per_s"
    value = fact(trial.result.config, "serve", key)
    return arrivals, float(value) if isinstance(value, int | float) else 0.0


def _kept_up(trial: Trial) -> str:
    told = [behind for r in trial.result.replicas() if (behind := r.evidence.get("saturated")) is not None]
    if not told:
        return NONE
    return "fell behind" if 2 * sum(behind is True for behind in told) > len(told) else "yes"


def _chances(loads: Sequence[Trial]) -> list[float | None]:
    """Return each load's probability of being on the front; None for all where one cannot be placed."""
    from harness.stats import StatsError, pareto  # numpy, which importing the report does not need

    points = [
        [
            (a.value, b.value)
            for r in t.result.replicas()
            if (a := r.metric(ONE)) and (b := r.metric(ALL)) and a.value and b.value
        ]
        for t in loads
    ]
    try:
        return [*pareto(points, ["higher", "higher"])]
    except StatsError:
        return [None] * len(loads)


def _curve(loads: Sequence[Trial], chances: Sequence[float | None], plot_id: str) -> Front | None:
    marks, drawn = list[FrontMark](), list[Trial]()
    for trial, chance in zip(loads, chances, strict=True):
        one, both = drawable(trial, ONE), drawable(trial, ALL)
        if one is not None and both is not None and len(drawn) < MOST_MARKS:
            drawn.append(trial)
            label = f"{_load(trial)[1]:g}" + ("" if chance is None else f", {percent(chance)}")
            marks.append(
                FrontMark(label, float(one.value or 0.0), float(both.value or 0.0), chance, trial.colour)
            )
    if len(drawn) < LEAST:
        return None
    return Front(
        plot_id,
        "Throughput against interactivity",
        ("Interactivity", "tokens/s"),
        ("Throughput", "tokens/s"),
        tuple(marks),
        f"{loads[0].workload} {MODE}, by load: more is better in both. The percentage is the probability of "
        "being on the front: that no other load has more of both.",
        machines=machines_of(drawn),
        workload=loads[0].workload,
    )
