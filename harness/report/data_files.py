"""The numbers behind every table and figure, as CSV and JSON in a folder beside the report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from harness.report.document import Figure, ReportModel, Table

FOLDER = "data"


def data_files(model: ReportModel) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file: every row, also of tables that the page shows in part."""
    for section in model.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                yield f"{block.id}.csv", _csv(block)
                yield f"{block.id}.json", _table(block)
            elif block.kind == "plot":
                yield f"{block.id}.json", _json(asdict(block))
                yield f"{block.id}.csv", _points(block)


def _csv(table: Table) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    titles = []
    for column in table.columns:
        titles += (
            [column.title, f"{column.title} (value)", f"{column.title} (detail)"]
            if column.numeric
            else [column.title]
        )
    writer.writerow(titles)
    numeric = [column.numeric for column in table.columns]
    for row in table.rows:
        cells: list[Any] = []
        for number, (text, detail, order, _) in zip(numeric, row.cells, strict=True):
            cells += (text, order, detail) if number else (f"{text} {detail}".strip() if detail else text,)
        writer.writerow([_inert(c) if isinstance(c, str) and c else c for c in cells])
    return _plain(out.getvalue()).encode()


def _points(figure: Figure) -> bytes:
    """One line a point: what is drawn, in base units."""
    fields = asdict(figure)
    rows: list[dict[str, Any]] = []
    if "rows" in fields:
        for row in fields["rows"]:
            for p in row["points"]:
                held = {k: p[k] for k in ("value", "low", "high", "flagged")}
                rows.append({"label": row["label"], "series": fields["series"][p["series"]], **held})
    else:
        rows = list(fields["marks"])
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _inert(v) for k, v in row.items()} for row in rows)
    return out.getvalue().encode()


def _table(table: Table) -> bytes:
    """Write a table row by row: one of many trials is never whole in memory as plain data."""
    head = {"title": table.title, "note": table.note, "columns": [c.title for c in table.columns]}
    rows = (
        _dumped(
            [
                {"text": text, "value": order, "detail": detail, "mark": mark}
                for text, detail, order, mark in row.cells
            ]
        )
        for row in table.rows
    )
    return _plain(f'{_dumped(head)[:-1]}, "rows": [{", ".join(rows)}]}}\n').encode()


def _json(value: Any) -> bytes:
    return (_plain(_dumped(value)) + "\n").encode()


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _plain(text: str) -> str:
    """Write spaces and minus signs as programs read them."""
    return text.replace("\u00a0", " ").replace("\u2212", "-")


def _inert(value: Any) -> Any:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "\u2212", "@"} else value
