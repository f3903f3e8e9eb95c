"""What did not work: failed trials with phase, reason, signal and log, and refused ones."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.schema import Record
from harness.report.document import Block, Cell, Code, Column, Paragraph, Row, Section, Table
from harness.report.sections.tables import NONE, name_cells, name_columns
from harness.report.text import line, plural, tail
from harness.report.trials import Trial

MOST_LOGS = 24
"""Failed trials whose log's end is shown."""


def failed_section(trials: Sequence[Trial]) -> Section:
    """Failed trials and the end of their logs; then failed attempts of trials that have a result."""
    failed = [(t, _last(t)) for t in trials if t.result.status not in {"ok", "refused"}]
    lost = [(t, r) for t in trials if t.result.status == "ok" for r in t.result.records if r.status != "ok"]
    where = any(t.where for t in trials)
    blocks: list[Block] = []
    if failed:
        blocks.append(_table("failed-table", "Trials without a result", failed, where=where))
        logs = [
            Code(f"End of the log: {t.name}", tail(r.log_tail), folded=True)
            for t, r in failed
            if r.log_tail.strip()
        ]
        blocks += logs[:MOST_LOGS]
        if len(logs) > MOST_LOGS:
            rest = plural(len(logs) - MOST_LOGS, "more log")
            blocks.append(Paragraph(f"{rest} not shown here; every record keeps its own.", "note"))
    else:
        blocks.append(Paragraph("No trial failed."))
    if lost:
        blocks.append(
            Paragraph("These attempts failed in trials that have a result from their other replicas.")
        )
        blocks.append(_table("attempts-table", "Failed attempts", lost, where=where))
    return Section("failed", "Failed trials", tuple(blocks))


def refused_section(trials: Sequence[Trial]) -> Section:
    """Combinations that cannot work, with the reason that the plan gave."""
    refused = [t for t in trials if t.result.status == "refused"]
    if not refused:
        return Section("refused", "Refused trials", (Paragraph("No trial was refused."),))
    where = any(t.where for t in trials)
    rows = tuple(
        Row((*name_cells(t, where=where), Cell(line(t.result.reason or NONE, 400))), t.workload)
        for t in refused
    )
    columns = (*name_columns(where=where), Column("Reason", wide=True))
    lead = Paragraph("These combinations cannot work; the plan refused them and nothing was run.")
    return Section("refused", "Refused trials", (lead, Table("refused-table", "Refused", columns, rows)))


def _last(trial: Trial) -> Record:
    """The attempt that the trial's status speaks of."""
    return [r for r in trial.result.records if r.status == trial.result.status][-1]


def _table(table_id: str, title: str, found: Sequence[tuple[Trial, Record]], *, where: bool) -> Table:
    columns = (
        *name_columns(where=where),
        Column("Status"),
        Column("Phase"),
        Column("Ended by"),
        Column("Reason", wide=True),
    )
    rows = tuple(
        Row(
            (
                *name_cells(t, where=where),
                Cell(r.status, order=r.status, mark="failed"),
                Cell(line(r.phase, 20), order=line(r.phase, 20)),
                Cell(_ending(r), order=_ending(r)),
                Cell(line(r.reason or NONE, 400)),
            ),
            t.workload,
        )
        for t, r in found
    )
    return Table(table_id, title, columns, rows)


def _ending(record: Record) -> str:
    if record.worker.signal:
        return line(record.worker.signal, 20)
    return f"exit {record.worker.exit_code}" if record.worker.exit_code is not None else NONE
