"""Results of other tools: a table of their own, which nothing of ours enters and which enters no ranking."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.foreign import ForeignFile, ForeignResult
from harness.records.metrics import METRICS
from harness.report.document import Block, Cell, Column, Paragraph, Row, Section, Table
from harness.report.sections.tables import NONE
from harness.report.text import line

TITLE = "Foreign results: unverified, without intervals"
MOST_ROWS = 200


def foreign_section(files: Sequence[ForeignFile]) -> Section:
    """Show what was imported, in each tool's own words and units; empty where nothing was."""
    found = [(file, result) for file in files for result in file.results]
    if not found:
        return Section("foreign", TITLE, ())
    columns = (
        Column("Tool"),
        Column("File"),
        Column("Result", wide=True),
        Column("Metric"),
        Column("Value", numeric=True),
        Column("Unit"),
        Column("Like our"),
    )
    rows = tuple(_row(file, result) for file, result in found[:MOST_ROWS])
    blocks: list[Block] = [
        Paragraph(
            "Other tools measured these, and this instrument saw nothing of it. Their definitions are their "
            "own and how far they scatter is not known, so that none of them is ranked, compared or drawn."
        ),
        Table("foreign-table", TITLE, columns, rows),
    ]
    if len(found) > MOST_ROWS:
        blocks.append(Paragraph(f"{len(found) - MOST_ROWS} more are not listed.", "note"))
    return Section("foreign", TITLE, tuple(blocks))


def _row(file: ForeignFile, result: ForeignResult) -> Row:
    ours = METRICS.get(result.comparable_to or "")
    texts = (file.source, line(file.file, 60), line(result.name), line(result.metric, 60))
    return Row(
        (
            *(Cell(text, order=text) for text in texts),
            Cell(f"{result.value:.6g}", order=result.value),
            Cell(line(result.unit, 40) or NONE),
            Cell(ours.title if ours else NONE),
        )
    )
