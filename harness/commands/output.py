"""Print a table for people or JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> None:
    """Print JSON that every reader accepts: no NaN."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False, default=str)
    print()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print a table as wide as its text; text from records is never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else Text(str(cell)) for cell in row))
    # Where nobody watches, a line is never folded to a width that nobody has.
    console = Console() if sys.stdout.isatty() else Console(width=400)
    console.print(table)
