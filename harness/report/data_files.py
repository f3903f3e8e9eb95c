"""The numbers behind every table and figure, as CSV and JSON in a folder beside the report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pydantic_core import to_json

from harness.report.document import Cell, Figure, Measured, ReportModel, Table

FOLDER = "data"
_PARTS = {
    "whole": ("value", "low", "high", "unit", "mark"),
    "number": ("value", "unit", "mark"),
    "interval": ("low", "high"),
}
"""The columns of a file for one of measured numbers, by what its cells show."""
_TEXT = ("", "value", "detail")


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
    """Write numbers as they were measured, each beside its bounds, unit and mark; text as it is shown."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    titles: list[str] = []
    kinds = []
    for i, column in enumerate(table.columns):
        part = next((c.part for row in table.rows if type(c := row.cells[i]) is Measured), None)
        fields = _PARTS[part] if part else _TEXT if column.numeric else ()
        kinds.append((part, column.numeric))
        titles += [f"{column.title} ({f})" if f else column.title for f in fields] or [column.title]
    writer.writerow(titles)
    for row in table.rows:
        cells: list[Any] = []
        for (part, numeric), cell in zip(kinds, row.cells, strict=True):
            if part:
                cells += _numbers(cell, part)
            elif numeric:
                cells += (_inert(cell.text), cell.order, _inert(cell.detail))
            else:
                cells.append(_inert(f"{cell.text} {cell.detail}".strip() if cell.detail else cell.text))
        writer.writerow(cells)
    return _plain(out.getvalue()).encode()


def _numbers(cell: Cell | Measured, part: str) -> tuple[Any, ...]:
    """Return what stands in a measured cell's columns; of one without a number, the mark alone."""
    value, unit, low, high, mark = cell[:5] if type(cell) is Measured else (None, "", None, None, cell.mark)
    if part == "interval":
        return low, high
    return (value, unit, mark) if part == "number" else (value, low, high, unit, mark)


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
    rows = b",\n".join(
        to_json([_plain_cell(c) for c in row.cells], inf_nan_mode="null") for row in table.rows
    )
    return b'%s,"rows":[%s]}\n' % (to_json(head)[:-1], rows)


def _plain_cell(cell: Cell | Measured) -> dict[str, Any]:
    if type(cell) is Measured:
        value, unit, low, high, mark = cell[:5]
        return {"value": value, "unit": unit, "low": low, "high": high, "mark": mark}
    return {"text": _plain(cell.text), "value": cell.order, "detail": _plain(cell.detail), "mark": cell.mark}


def _json(value: Any) -> bytes:
    return (_plain(json.dumps(value, ensure_ascii=False, allow_nan=False)) + "\n").encode()


def _plain(text: str) -> str:
    """Write spaces and minus signs as programs read them."""
    return text.replace("\u00a0", " ").replace("\u2212", "-")


def _inert(value: Any) -> Any:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "\u2212", "@"} else value
