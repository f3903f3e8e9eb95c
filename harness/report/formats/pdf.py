"""The report as PDF, typeset by typst from the model as JSON: text is data there, never markup."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness.report.document import Block, Cell, Column, Front, Measured, Plot, ReportModel, Roofline, Table

MOST_ROWS = 200
"""Rows of a table in the document; its file beside it has all."""
LARGEST_PT, SMALLEST_UPRIGHT_PT, LEAST_PT = 7.4, 5.7, 4.5
EM = 0.62
"""Mean width of a character of DejaVu Sans, with digits and capitals, over its size."""
BOLD = 1.15
INSET_PT = 6.3
"""Room at both sides of a column."""
MOST_WORDS, WIDE = 24, 24
"""Characters after which a text wraps, and that a wide column has at least."""


def render(model: ReportModel) -> bytes:
    """Render the model; the same model gives the same bytes."""
    import matplotlib as mpl
    import typst

    shown = replace(model, sections=tuple(replace(s, blocks=()) for s in model.sections))
    data = asdict(shown)
    for section, out in zip(model.sections, data["sections"], strict=True):
        out["blocks"] = [_fields(block) for block in section.blocks]
    data["date"] = _date(model.generated_at)
    source = files("harness.report.formats").joinpath("templates/report.typ").read_bytes()
    fonts = typst.Fonts(
        include_system_fonts=False, font_paths=[str(Path(mpl.get_data_path()) / "fonts" / "ttf")]
    )
    compiled = typst.compile(source, sys_inputs={"model": json.dumps(data)}, font_paths=fonts, format="pdf")
    assert isinstance(compiled, bytes)
    return compiled


def _fields(block: Block) -> dict[str, Any]:
    """Return a block as plain data, with no more rows than are shown and figures drawn."""
    from harness.report.figures import draw, svg

    if isinstance(block, Plot | Roofline | Front):
        return {
            "kind": block.kind,
            "title": block.title,
            "caption": block.caption,
            "axis": block.axis,
            "svg": svg.paper(draw.draw(block)),
        }
    if not isinstance(block, Table):
        return asdict(block)
    landscape, size, widths = table_layout(block)
    fields = asdict(replace(block, rows=()))
    rows = [
        {"first": row.first, "cells": [{k: getattr(c, k) for k in Cell._fields} for c in row.cells]}
        for row in block.rows[:MOST_ROWS]
    ]
    left_out = len(block.rows) - len(rows)
    return fields | {
        "rows": rows,
        "left_out": left_out,
        "landscape": landscape,
        "size": size,
        "widths": widths,
    }


def table_layout(table: Table) -> tuple[bool, float, list[float]]:
    """Return whether a table needs a page on its side, its type's size and its columns' widths in points.

    Columns of numbers never break, columns of words break between words; what is wide takes the rest, its
    own width being 0.
    """
    rows = table.rows[:MOST_ROWS]
    ems = [_column_em(c, [r.cells[i] for r in rows]) for i, c in enumerate(table.columns)]
    least = sum(em for em, _ in ems)
    inset_pt = INSET_PT * len(ems)
    for landscape, width_pt in ((False, 504.0), (True, 751.0)):
        size = min(LARGEST_PT, (width_pt - inset_pt) / least)
        if size >= (SMALLEST_UPRIGHT_PT if not landscape else LEAST_PT):
            break
    size = round(max(size, LEAST_PT), 2)
    # What is left goes to the columns whose words would stand in fewer lines.
    wished = sum(whole - em for em, whole in ems)
    left = max((width_pt - inset_pt) / size - least, 0.0)
    share = min(left / wished, 1.0) if wished else 0.0
    widths = [
        0.0 if c.wide else round((em + share * (whole - em)) * size + INSET_PT, 2)
        for c, (em, whole) in zip(table.columns, ems, strict=True)
    ]
    return landscape, size, widths


def _column_em(column: Column, cells: Sequence[Cell | Measured]) -> tuple[float, float]:
    """Return the least width that a column needs and that of its longest line, in sizes of its type."""
    longest = max((BOLD * len(w) for w in column.title.split()), default=1.0)
    most = max((max(len(c.text), len(c.detail)) if column.numeric else len(c.text) for c in cells), default=1)
    least = max(longest, most if column.numeric else min(most, MOST_WORDS), WIDE if column.wide else 0)
    return EM * least, EM * max(least, most, BOLD * len(column.title))


def _date(generated_at: str) -> dict[str, Any] | None:
    try:
        when = datetime.fromisoformat(generated_at).astimezone(UTC)
    except ValueError:
        return None
    return {k: getattr(when, k) for k in ("year", "month", "day", "hour", "minute", "second")}
