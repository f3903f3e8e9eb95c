"""Print a table for people or JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.report.document import Block


_RARE = re.compile(r"[^\n -~]")
_OF_CI = re.compile(r"^ *::|##\[")
"""How a line of a log begins that a runner of GitHub's obeys, its older form anywhere in the line."""


def print_json(value: Any) -> None:
    """Print JSON that every reader accepts: no NaN, and as escapes all that would steer a terminal."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=str)
    print(_RARE.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text))


def visible(value: object) -> str:
    """Return text in one line that neither moves, colours or reverses a terminal's text nor commands a CI."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in str(value))
    return _OF_CI.sub("\ufffd", shown)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print a table as wide as its text; text from records is never read as markup, nor by the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(visible(title)) if title else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for column in columns:
        table.add_column(Text(visible(column)), overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else Text(visible(cell)) for cell in row))
    # Where nobody watches, a line is never folded to a width that nobody has.
    console = Console() if sys.stdout.isatty() else Console(width=400)
    # By our own hand: rich ends the process where its reader has left.
    with console.capture() as shown:
        console.print(table)
    sys.stdout.write(shown.get())


def print_blocks(blocks: Sequence[Block]) -> None:
    """Print parts of a report: the console says what the document says, in the same words and numbers."""
    from harness.report.document import Items, Paragraph, Table

    for block in blocks:
        if isinstance(block, Paragraph):
            print(visible(block.text))
        elif isinstance(block, Items):
            for item in block.items:
                print(f"  {visible(item.term)}: {visible(item.text)}")
        elif isinstance(block, Table):
            rows = [
                [f"{cell.text} [{cell.detail}]" if cell.detail else cell.text for cell in row.cells]
                for row in block.rows
            ]
            print()
            print_table([column.title for column in block.columns], rows, title=block.title)
            if block.note:
                print(visible(block.note))
