"""The question that a sweep is to answer, and whether its trials keep the limits that were set for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from harness.records.metrics import METRICS
from harness.records.numbers import quantity
from harness.records.results import Estimate
from harness.report.document import Block, Cell, Column, Paragraph, Row, Section, Table
from harness.report.sections.tables import metric_cell, name_cells, name_columns
from harness.report.text import line, listing, plural
from harness.report.trials import Trial, fact

Judged: TypeAlias = list[tuple[str, float, str]]
"""The limits of a trial: the metric, its limit and the verdict in a word."""
Limits: TypeAlias = Mapping[str, float]
"""By metric id: the most where less of it is better, the least where more is."""
_NOTE = (
    "A limit is kept when the whole interval is on its right side, and broken when none of it is; between, "
    "the replicas do not tell. A measured value without an interval makes it likely, no more."
)


@dataclass(frozen=True, slots=True)
class AskedLimits:
    """Limits asked when the report is drawn, in place of those that the trials were run under."""

    everywhere: Limits | None = None
    """Of every trial; None keeps those that a trial was run under."""
    of_work: Limits | None = None
    """Of the work that the question names, beside `everywhere`, which counts where both limit a metric."""
    work: Mapping[str, str] = field(default_factory=dict)
    """What the configuration of such work holds, of name, size and mode."""

    def of(self, config: Mapping[str, Any]) -> Limits | None:
        """Return the limits of a trial with this configuration; None for those that it was run under."""
        held = config.get("workload", {})
        if self.of_work is None or any(held.get(key) != value for key, value in self.work.items()):
            return self.everywhere
        return {**self.of_work, **(self.everywhere or {})}


def question_section(named: Sequence[Trial], asked: AskedLimits | None = None) -> Section:
    """Say what was asked, and judge every limit of every trial with a result."""
    limits = asked or AskedLimits()
    questions = dict.fromkeys(
        line(text, 400) for t in named if isinstance(text := fact(t.result.config, "report", "question"), str)
    )
    blocks: list[Block] = [Paragraph(text, "lead") for text in questions]
    judged = [(t, found) for t in named if (found := list(_judged(t, limits)))]
    if judged:
        blocks += [Paragraph(_answer(judged)), _table(judged)]
    return Section("question", "The question", tuple(blocks))


def breaks(trial: Trial, limits: AskedLimits) -> bool:
    """Say whether a trial breaks a limit, surely or likely; what is undecided or unknown breaks none."""
    return any(word.endswith("broken") for _, _, word in _judged(trial, limits))


def _judged(trial: Trial, asked: AskedLimits) -> Iterator[tuple[str, float, str]]:
    limits = asked.of(trial.result.config)
    if limits is None:
        limits = fact(trial.result.config, "report", "limits")
    if not isinstance(limits, Mapping) or trial.result.status != "ok":
        return
    for metric, limit in limits.items():
        if metric in METRICS and isinstance(limit, int | float):
            yield metric, float(limit), _word(trial.result.estimates.get(metric), float(limit))


def _word(estimate: Estimate | None, limit: float) -> str:
    if estimate is None or estimate.value is None or estimate.validity in {"invalid", "unavailable"}:
        return "unknown"
    ends = [estimate.value if end is None else end for end in (estimate.low, estimate.high)]
    lower = estimate.direction == "lower"
    kept = [end <= limit if lower else end >= limit for end in ends]
    if any(kept) and not all(kept):
        return "undecided"
    word = "kept" if all(kept) else "broken"
    sure = estimate.provenance == "counted" or (estimate.low, estimate.high) != (None, None)
    return word if sure else f"likely {word}"


def _answer(judged: Sequence[tuple[Trial, Judged]]) -> str:
    keep = [t.name for t, found in judged if all(word == "kept" for _, _, word in found)]
    likely = [
        t.name for t, found in judged if all(w.endswith("kept") for _, _, w in found) and t.name not in keep
    ]
    words = Counter(word for _, found in judged for _, _, word in found)
    rest = ", ".join(
        f"{words[word]} {word}" for word in ("broken", "likely broken", "undecided", "unknown") if words[word]
    )
    of = plural(len(judged), "trial")
    said = [
        f"{len(names)} of {of} {verb} every limit{': ' if names else ''}{listing(names)}."
        for names, verb in ((keep, "keep"), (likely, "likely keep"))
        if names or (not likely and verb == "keep")
    ]
    return " ".join([*said, *([f"Not shown to be kept: {rest}."] if rest else [])])


def _table(judged: Sequence[tuple[Trial, Judged]]) -> Table:
    where = any(t.where for t, _ in judged)
    columns = (
        *name_columns(where=where),
        Column("Metric"),
        Column("Limit", numeric=True),
        Column("Measured", numeric=True),
        Column("Verdict"),
    )
    rows = [
        Row(
            (
                *name_cells(t, where=where),
                Cell(METRICS[metric].title),
                _limit_cell(metric, limit),
                metric_cell(t.result.estimates.get(metric)),
                Cell(word, order=word),
            ),
            t.workload,
            first=place == 0,
        )
        for t, found in judged
        for place, (metric, limit, word) in enumerate(found)
    ]
    return Table("limits", "Limits", columns, tuple(rows), _NOTE)


def _limit_cell(metric: str, limit: float) -> Cell:
    defined = METRICS[metric]
    most = "at most" if defined.direction == "lower" else "at least"
    return Cell(f"{most} {quantity(limit, defined.unit).text}", order=limit)
