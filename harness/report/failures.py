"""What did not work, and what was left out: failed and refused trials, invalid metrics, torn records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.records.schema import Record
from harness.report.document import Block, Cell, Code, Column, Items, Item, Paragraph, Row, Section, Table
from harness.report.tables import NONE, name_cells, name_columns
from harness.report.text import line, listing, plural, tail
from harness.report.trials import Trial

MOST_LOGS = 24
"""Failed trials whose log's end is shown."""
MOST_TORN = 50


def failed_section(trials: Sequence[Trial]) -> Section:
    """Failed trials with phase, reason, signal and the end of the log; then failed attempts of others."""
    failed = [t for t in trials if t.result.status not in {"ok", "refused"}]
    where = any(t.where for t in trials)
    blocks: list[Block] = []
    if failed:
        blocks.append(_failure_table("failed-table", "Failed trials", [(t, _last(t)) for t in failed], where=where))
        with_log = [(t, r) for t in failed if (r := _last(t)) is not None and r.log_tail.strip()]
        blocks += [Code(f"End of the log: {t.name}", tail(r.log_tail), folded=True) for t, r in with_log[:MOST_LOGS]]
        if len(with_log) > MOST_LOGS:
            rest = plural(len(with_log) - MOST_LOGS, "more log")
            blocks.append(Paragraph(f"{rest} not shown here; every record keeps its own.", "note"))
    else:
        blocks.append(Paragraph("No trial failed."))
    lost = [(t, r) for t in trials if t.result.status == "ok" for r in t.result.records if r.status != "ok"]
    if lost:
        blocks.append(Paragraph("These attempts failed in trials that have a result from their other replicas."))
        blocks.append(_failure_table("attempts-table", "Failed attempts", lost, where=where))
    return Section("failed", "Failed trials", tuple(blocks))


def refused_section(trials: Sequence[Trial]) -> Section:
    """Combinations that cannot work, with the reason that the plan gave."""
    refused = [t for t in trials if t.result.status == "refused"]
    if not refused:
        return Section("refused", "Refused trials", (Paragraph("No trial was refused."),))
    where = any(t.where for t in trials)
    rows = tuple(
        Row((*name_cells(t, where=where), Cell(line(t.result.reason or NONE, 400))), t.workload) for t in refused
    )
    columns = (*name_columns(where=where), Column("Reason", wide=True))
    lead = Paragraph("These combinations cannot work; the plan refused them and nothing was run.")
    return Section("refused", "Refused trials", (lead, Table("refused-table", "Refused trials", columns, rows)))


def omissions_section(trials: Sequence[Trial], torn: Sequence[str]) -> Section:
    """Every flag, every invalid or missing metric and every torn record, each with its reason."""
    found: dict[tuple[str, str, str], list[Trial]] = defaultdict(list)
    for t in trials:
        for e in t.result.estimates.values():
            if e.validity != "valid":
                for reason in e.reasons or ("no reason given",):
                    found[e.validity, line(e.title, 60), line(reason, 300)].append(t)
    blocks: list[Block] = [
        Paragraph(
            "An invalid value is never shown, ranked or drawn. A flagged value is shown with its flag. A missing "
            "value is never 0."
        )
    ]
    if found:
        kinds = ("invalid", "flagged", "unavailable")
        rows = tuple(
            Row((
                Cell(kind, order=kind, mark=kind),
                Cell(metric, order=metric),
                Cell(reason, order=reason),
                Cell(str(len(where)), order=float(len(where))),
                Cell("all with a result" if len(where) == _with_result(trials) else listing([t.name for t in where], 3)),
            ))
            for kind in kinds
            for (k, metric, reason), where in found.items()
            if k == kind
        )
        columns = (
            Column("Validity"), Column("Metric"), Column("Reason", wide=True),
            Column("Trials", numeric=True), Column("Which", wide=True),
        )
        blocks.append(Table("omissions-table", "Flags and omissions", columns, rows))
    if torn:
        blocks.append(Paragraph(f"{plural(len(torn), 'record')} could not be read and {'is' if len(torn) == 1 else 'are'} left out:"))
        blocks.append(Items(tuple(Item("", line(t, 300)) for t in torn[:MOST_TORN])))
        if len(torn) > MOST_TORN:
            blocks.append(Paragraph(f"… and {len(torn) - MOST_TORN} more.", "note"))
    return Section("omissions", "Flags and omissions", tuple(blocks))


def _with_result(trials: Sequence[Trial]) -> int:
    return sum(bool(t.result.estimates) for t in trials)


def _last(trial: Trial) -> Record | None:
    bad = [r for r in trial.result.records if r.status == trial.result.status]
    return bad[-1] if bad else None


def _failure_table(
    table_id: str, title: str, found: Sequence[tuple[Trial, Record | None]], *, where: bool
) -> Table:
    columns = (
        *name_columns(where=where), Column("Status"), Column("Phase"), Column("Ended by"), Column("Reason", wide=True),
    )
    rows = []
    for t, r in found:
        status = r.status if r else t.result.status
        phase, reason = (r.phase, r.reason) if r else (t.result.phase, t.result.reason)
        cells = (Cell(status, order=status, mark="failed"), Cell(line(phase, 20)), Cell(_ending(r)), Cell(line(reason or NONE, 400)))
        rows.append(Row((*name_cells(t, where=where), *cells), t.workload))
    return Table(table_id, title, columns, tuple(rows))


def _ending(record: Record | None) -> str:
    if record is None:
        return NONE
    if record.worker.signal:
        return line(record.worker.signal, 20)
    return f"exit {record.worker.exit_code}" if record.worker.exit_code is not None else NONE
