"""Tables of the bench, the bounds that they must hold, and how both are printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

BEGIN, END = "<!-- bench-stats: begin -->", "<!-- bench-stats: end -->"


@dataclass(frozen=True, slots=True)
class Bound:
    """Something promised, and what was found."""

    says: str
    found: float
    limit: float
    at_least: bool
    show: Callable[[float], str] = lambda x: share(x, 2)

    @property
    def held(self) -> bool:
        """Whether the promise was kept."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def cells(self) -> list[str]:
        """Return its row."""
        limit = f"{'≥' if self.at_least else '≤'} {self.show(self.limit)}"
        return [self.says, limit, self.show(self.found), "yes" if self.held else "**no**"]


@dataclass(slots=True)
class Table:
    """One table of the bench."""

    title: str
    says: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [f"### {self.title}", "", self.says, "", _row(self.header)]
        lines += [_row([_rule(column) for column in zip(*self.rows, strict=True)]), *map(_row, self.rows)]
        return "\n".join(lines) + "\n"


def of_bounds(tables: list[Table]) -> Table:
    """Return the table of all that was promised."""
    rows = [bound.cells() for table in tables for bound in table.bounds]
    return Table(
        "Bounds", "What must hold, and what this run found.", ["bound", "limit", "found", "held"], rows
    )


def shown(repetitions: int) -> int:
    """Return the repetitions of a cell that is shown for comparison and bears no bound."""
    return max(1, repetitions // 4)


def seconds(x: float) -> str:
    """Format a time."""
    return f"{x:.0f} s"


def share(x: float, digits: int = 1) -> str:
    """Format a share in percent."""
    return f"{100 * x:.{digits}f} %"


def write(path: Path, text: str) -> None:
    """Replace what stands between the markers of a document.

    Raises:
        ValueError: the document has no markers.
    """
    document = path.read_text(encoding="utf-8")
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines {BEGIN} and {END}")
    path.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def _rule(column: tuple[str, ...]) -> str:
    """Align numbers to the right."""
    return "---:" if all(cell.lstrip("-")[0].isdigit() for cell in column) else "---"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
