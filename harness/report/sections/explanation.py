"""Why one side is faster: factors that multiply to the ratio, for console and report alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from harness.records.numbers import quantity
from harness.report.document import Block, Cell, Column, Item, Items, Paragraph, Row, Table
from harness.report.text import line

TIMES = "\u00d7"
_NOTE = (
    "A factor is by how much its cause alone makes A faster; below one it makes A slower. The factors "
    "multiply to the ratio. Intervals are over the replicas; what one profile alone gives has none."
)

_ENERGY_NOTE = (
    "A factor is by how much its cause alone makes A thriftier; below one it makes A thirstier. The factors "
    "multiply to the ratio of energies."
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
    title = f"Why {_compared(found['a'], found['ratio'], 'faster', 'slower')}"
    table = _table(f"explanation-{number}", title, found["factors"], _NOTE)
    blocks: list[Block] = [Paragraph(text), table]
    if energy := found["energy"]:
        blocks += _energy_blocks(found, energy, number)
    items = [Item("also differs", line(text, 200)) for text in found["differences"]]
    items += [Item("would explain more", line(text, 200)) for text in found["missing"]]
    return (*blocks, Items(tuple(items))) if items else tuple(blocks)


def _energy_blocks(found: Explained, energy: Mapping[str, Any], number: int) -> tuple[Block, ...]:
    """Say how much energy B takes beside A, and how much of that is power and how much time."""
    q = quantity(energy["ratio"], "1", energy["low"], energy["high"])
    interval = f" ({q.interval})" if q.interval else ""
    item = energy["metric"].removeprefix("energy.")
    text = f"For each {item} B takes {q.text}{TIMES}{interval} the energy that A takes."
    share = energy["power_share"]
    if share is not None:
        text += f" {share:.0%} of that is power and {1 - share:.0%} is time, by their logarithms."
    title = f"Why {_compared(found['a'], energy['ratio'], 'thriftier', 'thirstier')}"
    table = _table(f"explanation-{number}-energy", title, energy["factors"], _ENERGY_NOTE)
    return Paragraph(text), table


def _compared(side: str, ratio: float, more: str, less: str) -> str:
    return f"{line(side, 80)} is {more if ratio >= 1 else less}"


def _table(table_id: str, title: str, factors: Sequence[Mapping[str, Any]], note: str) -> Table:
    rows = tuple(
        Row((Cell(line(f["name"], 60)), _factor(f), Cell(line(f["evidence"], 200)))) for f in factors
    )
    columns = (Column("Cause"), Column("Factor", numeric=True), Column("Evidence", wide=True))
    return Table(table_id, title, columns, rows, note, sortable=False)


def _factor(found: Mapping[str, Any]) -> Cell:
    q = quantity(found["value"], "1", found["low"], found["high"])
    return Cell(q.text + TIMES, q.interval, order=float(found["value"]))
