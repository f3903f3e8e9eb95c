"""Tables of metrics: one cell format for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from harness.records.headline import HEADLINES
from harness.records.numbers import EN_DASH
from harness.records.results import Estimate
from harness.report.document import Cell, Column, Measured, Row, Table
from harness.report.sections.ranking import Place
from harness.report.text import line
from harness.report.trials import Trial, groups, headline

NONE = EN_DASH
MISSING, INVALID = Cell(NONE, mark="unavailable"), Cell("invalid", mark="invalid")
LONG_TEXT = 40
"""Characters beyond which a column's text is let wrap."""
FLAG = "◇"
"""Stands behind a flagged number, and is the open marker of the plots."""


@dataclass(frozen=True, slots=True)
class MetricTable:
    """A section's table: which metrics, in which order."""

    id: str
    title: str
    metrics: tuple[str, ...]
    note: str = ""
    with_speed: bool = False
    """Begin with the throughput that a group is ranked by, whether or not a trial has any of the metrics."""


LATENCY = MetricTable(
    "latency",
    "Latency",
    (
        "iteration.mean",
        "iteration.mean.clean",
        "iteration.gated",
        "iteration.cold",
        "latency.p50",
        "latency.p90",
        "latency.p99",
        "latency.ttft",
        "latency.tpot",
    ),
    "Percentiles are those of one process; the interval is over processes. A tail percentile is left out "
    "where too few iterations were measured to know it. Gated and cold times come from short passes of their "
    "own after the first replica.",
)
MEMORY = MetricTable(
    "memory",
    "Memory",
    (
        "memory.peak_allocated",
        "memory.peak_reserved",
        "memory.peak_rss",
        "memory.weights",
        "memory.optimizer",
        "memory.kv_cache",
    ),
    "Peaks are the largest over all replicas. Resident memory is the whole process, the framework included.",
)
ENERGY = MetricTable(
    "energy",
    "Energy and power",
    (
        "energy.token",
        "energy.sample",
        "energy.request",
        "energy.iteration",
        "energy.iteration.uncertainty",
        "power.mean",
        "power.peak",
        "power.idle",
    ),
    "Energy is that of the measured window which also gives throughput. The interval is over replicas; the "
    "uncertainty of the sensor itself is a figure of its own.",
)
COMPUTE = MetricTable(
    "compute",
    "Arithmetic and training",
    (
        "model.parameters",
        "flops.step",
        "flops.rate",
        "mfu",
        "mfu.measured",
        "cpu.time",
        "loss.first",
        "loss.last",
        "time.to_loss",
    ),
    "FLOPs are those of the uncompressed model, two to a multiply-add. MFU is of the vendor's dense peak, or "
    "of the ceiling measured on the device itself.",
)
QUALITY = MetricTable(
    "quality",
    "Quality beside speed",
    (
        "quality.sqnr",
        "quality.agreement",
        "quality.perplexity",
        "quality.perplexity.fp32",
        "memory.weights",
        "energy.token",
        "energy.sample",
    ),
    "Error of the outputs against the same weights in fp32, uncompressed and eager, once for each trial. "
    "Where there is a perplexity, of held-out text, the weights were really trained; elsewhere they are "
    "random, or your own model's. Why a trial has no figures stands under flags and omissions.",
    with_speed=True,
)
STARTUP = MetricTable(
    "startup",
    "Start-up",
    ("time.build", "time.compile", "time.first_iteration", "time.warmup"),
    "Never part of steady state, and never part of throughput.",
)


def shown(estimate: Estimate) -> tuple[float, float | None, float | None, str]:
    """Value, bounds and unit as they are shown: a share of one as per cent."""
    assert estimate.value is not None
    if estimate.metric_id in {"mfu", "mfu.measured", "quality.agreement"}:
        low, high = ((None if b is None else 100 * b) for b in (estimate.low, estimate.high))
        return 100 * estimate.value, low, high, "%"
    return estimate.value, estimate.low, estimate.high, estimate.unit


def metric_cell(estimate: Estimate | None) -> Cell | Measured:
    """Show one metric: a number with its interval, or that it is invalid or missing; never 0 for missing."""
    if estimate is None or (estimate.value is None and estimate.validity != "invalid"):
        return MISSING
    if estimate.validity == "invalid" or estimate.value is None:
        return INVALID
    value, low, high, unit = shown(estimate)
    flagged = f" {FLAG}" if estimate.validity == "flagged" else ""
    guessed = " (estimated)" if estimate.provenance == "estimated" else ""
    return Measured(value, unit, low, high, estimate.validity, flagged + guessed)


def other_table(trials: Sequence[Trial]) -> MetricTable:
    """What no other table shows: metrics of other packages."""
    known = {m for spec in (LATENCY, MEMORY, ENERGY, COMPUTE, QUALITY, STARTUP) for m in spec.metrics} | set(
        HEADLINES
    )
    found = dict.fromkeys(m for t in trials for m in t.result.estimates if m not in known)
    return MetricTable("other", "Other metrics", tuple(found))


def metric_table(spec: MetricTable, trials: Sequence[Trial]) -> Table | None:
    """A table of the metrics that at least one trial has; None when no trial has any."""
    held = [t.result.estimates for t in trials]
    present = _once([m for m in spec.metrics if any(map(_shows, [each.get(m) for each in held]))], held)
    if not present:
        return None
    titles = {m: next(each[m].title for each in held if m in each) for m in present}
    where = any(t.where for t in trials)
    rows = []
    for members in groups(trials).values():
        shown_metrics = [*([headline(members)] if spec.with_speed else []), *present]
        first = True
        for t in members:
            found = t.result.estimates
            values = [metric_cell(found.get(m)) for m in shown_metrics]
            if any(cell is not MISSING for cell in values):
                rows.append(Row((*name_cells(t, where=where), *values), t.workload, first))
                first = False
    return Table(
        f"{spec.id}-table",
        spec.title,
        (
            *name_columns(where=where),
            *([Column("Throughput", numeric=True)] if spec.with_speed else []),
            *(Column(line(titles[m], 60), numeric=True) for m in present),
        ),
        tuple(rows),
        spec.note,
    )


def _once(metrics: Sequence[str], held: Sequence[Mapping[str, Estimate]]) -> list[str]:
    """Leave out an energy that is another's wherever it is known: a request of one sample is the sample."""

    def values(metric: str) -> dict[int, float]:
        found = ((i, each.get(metric)) for i, each in enumerate(held))
        return {i: e.value for i, e in found if e is not None and e.value is not None}

    kept: list[str] = []
    for metric in metrics:
        room = metric.partition(".")[0]
        same = (k for k in kept if room in {"energy", "efficiency"} and k.startswith(f"{room}."))
        if not any(values(metric).items() <= values(k).items() for k in same):
            kept.append(metric)
    return kept


def ranked_table(ranked: Sequence[Sequence[Place]], level: str) -> Table:
    """The main table: every trial with a result, ranked within its workload, size and mode."""
    where = any(p.trial.where for places in ranked for p in places)
    columns = (
        Column("Rank", numeric=True),
        *name_columns(where=where),
        Column("Throughput", numeric=True),
        Column(f"{level} interval".lstrip().capitalize(), numeric=True),
        Column("Replicas", numeric=True),
        Column("Validity", wide=True),
    )
    rows = []
    for places in ranked:
        for i, p in enumerate(places):
            value = metric_cell(p.estimate)
            cells = (
                Cell(p.text, order=float(p.best) if p.best is not None else None),
                *name_cells(p.trial, where=where),
                value._replace(part="number") if isinstance(value, Measured) else value,
                value._replace(part="interval", mark="") if isinstance(value, Measured) else Cell(NONE),
                Cell(str(p.trial.result.replicas_ok), order=float(p.trial.result.replicas_ok)),
                _validity_cell(p),
            )
            rows.append(Row(cells, p.trial.workload, first=i == 0))
    note = (
        "A rank holds within one workload, mode and size, and is a range where trials cannot be "
        "distinguished. Tokens are counted where the work has tokens, else samples, else requests. "
        f"{FLAG} marks a flagged value."
    )
    return Table("ranked", "Ranked by throughput", columns, tuple(rows), note)


def without_empty(table: Table) -> Table:
    """Leave out the columns of numbers in which no row has one, so that the words have their room."""
    kept = [
        i
        for i, c in enumerate(table.columns)
        if not c.numeric or any(r.cells[i].order not in {None, 0.0} for r in table.rows)
    ]
    rows = tuple(r._replace(cells=tuple([r.cells[i] for i in kept])) for r in table.rows)
    return replace(table, columns=tuple(table.columns[i] for i in kept), rows=rows)


def widened(table: Table) -> Table:
    """Let the columns of words wrap in which a text is long."""
    columns = tuple(
        replace(
            c, wide=c.wide or (not c.numeric and any(len(r.cells[i].text) > LONG_TEXT for r in table.rows))
        )
        for i, c in enumerate(table.columns)
    )
    return replace(table, columns=columns)


def _validity_cell(place: Place) -> Cell:
    """The badge of a ranked trial, with the rules that flagged it and why it has no rank."""
    e = place.estimate
    validity = "unavailable" if e is None else e.validity
    reasons = [line(r, 120) for r in e.reasons] if e else []
    if place.why_not in {"within-run only", "no interval"} and place.why_not not in reasons:
        reasons.append(place.why_not)
    return Cell(validity, "; ".join(dict.fromkeys(reasons)), order=validity, mark=validity)


def name_columns(*, where: bool) -> tuple[Column, ...]:
    """The columns that name a trial."""
    named = (Column("Workload"), Column("Mode"), Column("Configuration"))
    return (*named, Column("Where")) if where else named


def name_cells(trial: Trial, *, where: bool) -> tuple[Cell, ...]:
    """The cells that name a trial."""
    texts = (trial.workload, trial.mode, trial.config, *((trial.where or NONE,) if where else ()))
    return tuple([_name(text) for text in texts])


@lru_cache(maxsize=1 << 15)
def _name(text: str) -> Cell:
    """Return one cell for a name, which stands in every table."""
    return Cell(text, order=text)


def _shows(e: Estimate | None) -> bool:
    """Say whether a cell of it would show something."""
    return e is not None and (e.value is not None or e.validity == "invalid")
