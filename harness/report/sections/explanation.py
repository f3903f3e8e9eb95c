"""Why one side is faster: factors that multiply to the ratio, for console and report alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from harness.records.numbers import quantity
from harness.report.document import Block, Cell, Column, Item, Items, Paragraph, Row, Table
from harness.report.text import line

TIMES = "\u00d7"
_NOTE = (
    "A factor is by how much its cause alone makes A faster; below one it makes A slower. The factors "
    "multiply to the ratio. Intervals are over the replicas; what one profile alone gives has none."
)

Explained: TypeAlias = Mapping[str, Any]
"""`a`, `b`: what stands for the two sides; and the fields of `harness.comparison.explain.Explanation`."""


def explanation_blocks(found: Explained, number: int = 0) -> tuple[Block, ...]:
    """Return the ratio, its factors, and what else differs."""
    ratio = quantity(found["ratio"], "1", found["low"], found["high"])
    interval = f" ({ratio.interval})" if ratio.interval else ""
    text = (
        f"A, {line(found['a'], 120)}, does {ratio.text}{TIMES}{interval} what B, "
        f"{line(found['b'], 120)}, does in the same time."
    )
    rows = tuple(
        Row(
            (
                Cell(line(f["name"], 60)),
                _factor(f),
                Cell(line(f["evidence"], 200)),
            )
        )
        for f in found["factors"]
    )
    columns = (Column("Cause"), Column("Factor", numeric=True), Column("Evidence", wide=True))
    blocks: list[Block] = [
        Paragraph(text),
        Table(
            f"explanation-{number}",
            f"Why {line(found['a'], 80)} is faster",
            columns,
            rows,
            _NOTE,
            sortable=False,
        ),
    ]
    items = [Item("also differs", line(text, 200)) for text in found["differences"]]
    items += [Item("would tell more", line(text, 200)) for text in found["missing"]]
    return (*blocks, Items(tuple(items))) if items else tuple(blocks)


def _factor(found: Mapping[str, Any]) -> Cell:
    q = quantity(found["value"], "1", found["low"], found["high"])
    return Cell(q.text + TIMES, q.interval, order=float(found["value"]))
