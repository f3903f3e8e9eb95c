"""What a report says before it has a form; a number becomes text here, once for all formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from harness.records.numbers import EN_DASH, quantity

Mark = Literal["", "valid", "flagged", "invalid", "unavailable", "failed", "refused"]
Tone = Literal["plain", "lead", "note"]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences."""

    text: str
    tone: Tone = "plain"
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, slots=True)
class Item:
    """A term and what is said of it."""

    term: str
    text: str
    workload: str = ""
    """What a reader may select by; empty stands for all."""


@dataclass(frozen=True, slots=True)
class Items:
    """A list of terms, each with its text."""

    items: tuple[Item, ...]
    kind: Literal["items"] = "items"


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to be copied, or the end of a log."""

    title: str
    text: str
    folded: bool = False
    """True where a page that can fold may fold it."""
    kind: Literal["code"] = "code"


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column."""

    title: str
    numeric: bool = False
    wide: bool = False
    """True where long text is expected: it takes the width that the others leave."""


class Cell(NamedTuple):
    """One cell: its text, the smaller text below it (an interval), and what it sorts by.

    A report of many trials has half a million: a tuple is made three times as fast as a frozen dataclass.
    """

    text: str
    detail: str = ""
    order: float | str | None = None
    mark: Mark = ""


class Measured(NamedTuple):
    """One cell of a number in its base unit: a text only where it is shown, for most rows lie in files."""

    value: float
    unit: str
    low: float | None
    high: float | None
    mark: Mark = ""
    after: str = ""
    """Stands behind the number."""
    part: Literal["whole", "number", "interval"] = "whole"
    """Which of number and interval it shows."""

    @property
    def text(self) -> str:
        """The number; where the cell shows the interval alone, that."""
        q = quantity(*self[:4])
        return q.text + self.after if self.part != "interval" else q.interval or EN_DASH

    @property
    def detail(self) -> str:
        """The interval, as smaller text."""
        return quantity(*self[:4]).interval if self.part == "whole" else ""

    @property
    def order(self) -> float | None:
        """What the cell sorts by."""
        return self.value if self.part != "interval" else self.low


class Row(NamedTuple):
    """One row. `workload` is what a reader may select by; `first` starts a group."""

    cells: tuple[Cell | Measured, ...]
    workload: str = ""
    first: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose header repeats on every page."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    sortable: bool = True
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Point:
    """One value on a row of a plot, in base units; `series` indexes the plot's series."""

    series: int
    value: float
    low: float | None
    high: float | None
    flagged: bool
    machine: int = 0
    """Indexes the plot's machines, and so its colour, where there are several."""


@dataclass(frozen=True, slots=True)
class PlotRow:
    """One line of a plot: label, points, and the text of its first point."""

    label: str
    points: tuple[Point, ...]
    text: str
    first: bool = False
    """True where a group of rows starts."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A dot-and-interval plot of one workload."""

    id: str
    title: str
    workload: str
    axis: str
    unit: str
    series: tuple[str, ...]
    rows: tuple[PlotRow, ...]
    caption: str
    machines: tuple[str, ...] = ()
    """Names by colour, where the report has several machines; then a series has a shape alone."""
    kind: Literal["plot"] = "plot"


@dataclass(frozen=True, slots=True)
class Roof:
    """A pair of measured ceilings."""

    label: str
    flop_s: float
    bandwidth_b_s: float


@dataclass(frozen=True, slots=True)
class RooflineMark:
    """One trial in a roofline figure; `roof` indexes the figure's roofs."""

    label: str
    intensity: float
    attained_flop_s: float
    roof: int


@dataclass(frozen=True, slots=True)
class Roofline:
    """Attained FLOP/s over FLOPs per byte, under measured ceilings. At least one roof and one mark."""

    id: str
    title: str
    roofs: tuple[Roof, ...]
    marks: tuple[RooflineMark, ...]
    caption: str
    workload: str = ""
    """Empty: it shows trials of several workloads."""
    axis: str = "Attained FLOP/s over arithmetic intensity"
    kind: Literal["plot"] = "plot"


@dataclass(frozen=True, slots=True)
class FrontMark:
    """One trial in a figure of two objectives."""

    label: str
    x: float
    y: float
    chance: float | None
    """Of being on the front."""
    machine: int = 0


@dataclass(frozen=True, slots=True)
class Front:
    """Trials by two objectives; the caption says what is better. `higher` is of y."""

    id: str
    title: str
    x: tuple[str, str]
    """Name and unit."""
    y: tuple[str, str]
    marks: tuple[FrontMark, ...]
    caption: str
    higher: bool = True
    machines: tuple[str, ...] = ()
    workload: str = ""
    axis: str = "Two objectives"
    kind: Literal["plot"] = "plot"

    def values(self, mark: FrontMark) -> str:
        """Return both values of a mark in words."""
        return f"{quantity(mark.x, self.x[1]).text}, {quantity(mark.y, self.y[1]).text}"


Figure: TypeAlias = Plot | Roofline | Front
Block: TypeAlias = Paragraph | Items | Code | Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ReportModel:
    """The whole report. Renderers lay it out; none of them computes or formats a number."""

    title: str
    subtitle: str
    generated_at: str
    """UTC, ISO 8601."""
    generator: str
    tiles: tuple[Item, ...]
    """The counts at the top: how many trials, and how they ended."""
    sections: tuple[Section, ...]
    workloads: tuple[str, ...]
    notice: str = ""
    """What every number below is to be read with, e.g. that the machine was busy: before all else."""
