"""Draw plots as SVG: dots and intervals on rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from harness.records.numbers import quantity, tick
from harness.report.document import Plot
from harness.report.figures.svg import FILL, GRID, INK, MUTED, SERIES, WIDTH_IN
from harness.report.figures.ticks import linear_ticks, log_ticks

RIGHT_IN = 1.2
LEFTS_IN = (1.3, 1.8, 2.4)
"""Room for labels: few widths, so that the axes of neighbouring figures are in line."""
ROW_IN, GAP_ROWS, MARGIN_IN = 0.22, 0.4, 0.14
LABEL_PT, SMALL_PT = 8.0, 6.6
LOG_ABOVE = 30.0
"""A plot whose values span more than this factor has a logarithmic axis."""
ZERO_BELOW = 0.75
"""A linear axis starts at 0 when its lowest value is below this share of its highest."""
PT = 72.0
"""Points of an inch."""
TOP_IN, TOP_LEGEND_IN, BOTTOM_IN = 0.08, 0.34, 0.46
SHAPES = (
    "M2.4 0A2.4 2.4 0 1 1 -2.4 0A2.4 2.4 0 1 1 2.4 0Z",
    "M0 -2.6L2.6 2.2L-2.6 2.2Z",
    "M-2.2 -2.2L2.2 -2.2L2.2 2.2L-2.2 2.2Z",
    "M0 -3.1L3.1 0L0 3.1L-3.1 0Z",
)
"""A series' shape, of a circle, a triangle, a square and a diamond; an open one is a flagged value."""
_NO_GLYPH = "Glyph .* missing from font"
"""Matplotlib's warning; the reader's own fonts may have the glyph."""


@lru_cache(maxsize=256)
def draw(plot: Plot) -> str:
    """Draw a plot as an SVG element in sentinel colours; equal plots give equal text.

    The element is written here: a layout of rows needs no more, and a report has dozens of them.
    """
    longest = max(_width_in(row.label, LABEL_PT) for row in plot.rows) + MARGIN_IN
    left = next((width for width in LEFTS_IN if width >= longest), LEFTS_IN[-1])
    size = LABEL_PT if left >= longest else SMALL_PT
    positions, y = [], 0.0
    for i, row in enumerate(plot.rows):
        y += GAP_ROWS if row.first and i else 0.0
        positions.append(y)
        y += 1.0
    several = sum(bool(s) for s in plot.series) > 1
    many = several or len(plot.machines) > 1
    top = TOP_LEGEND_IN if many else TOP_IN
    area = _Area(_scale(plot), left * PT, (WIDTH_IN - RIGHT_IN) * PT, top * PT, (top + y * ROW_IN) * PT)
    at = [area.top + (p + 0.5) * ROW_IN * PT for p in positions]
    labels = [_fit(row.label, left - MARGIN_IN, size) for row in plot.rows]
    width, height = WIDTH_IN * PT, area.bottom + BOTTOM_IN * PT
    size_pt = f'width="{_n(width)}pt" height="{_n(height)}pt"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" {size_pt}>',
        "<defs>",
        *(f'<path id="m{i}" d="{shape}"/>' for i, shape in enumerate(SHAPES)),
        "</defs>",
        *_axis(area, plot),
        *_rows(area, plot, labels, at, size),
        *_points(area, plot, at, spread=0.22 * ROW_IN * PT if several else 0.0),
        *(_legend(area, plot) if many else ()),
        "</svg>",
    ]
    return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class _Scale:
    """The horizontal axis in the plot's own unit."""

    start: float
    stop: float
    logarithmic: bool
    ticks: Sequence[float]
    note: str

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies, 0 to 1."""
        if self.logarithmic:
            return math.log(value / self.start) / math.log(self.stop / self.start)
        return (value - self.start) / (self.stop - self.start)


@dataclass(frozen=True, slots=True)
class _Area:
    """Where the points are, in points from the upper left corner."""

    scale: _Scale
    left: float
    right: float
    top: float
    bottom: float

    def x(self, value: float) -> float:
        """Return where a value lies."""
        return self.left + self.scale.share(value) * (self.right - self.left)


def _scale(plot: Plot) -> _Scale:
    """Choose a linear or logarithmic axis with ticks that cannot touch each other."""
    values = [v for row in plot.rows for p in row.points for v in (p.value, p.low, p.high) if v is not None]
    low, high = min(values), max(values)
    binary = plot.unit == "B"
    if low > 0 and high / low > LOG_ABOVE:
        start, stop = low / 1.25, high * 1.25
        return _Scale(start, stop, True, log_ticks(start, stop, binary=binary), "logarithmic axis")
    from_zero = low >= 0 and low < ZERO_BELOW * high
    pad = max(0.08 * (high - low), 0.04 * abs(high)) or 1.0  # never so close that ticks look alike
    start, stop = (0.0 if from_zero else low - pad), high + pad
    note = "" if from_zero else "axis does not start at 0"
    return _Scale(start, stop, False, linear_ticks(start, stop, binary=binary), note)


def _axis(area: _Area, plot: Plot) -> list[str]:
    """Draw the grid, the axis with its ticks, and its name."""
    parts = []
    for value in area.scale.ticks:
        x = area.x(value)
        parts += [
            _line(x, area.top, x, area.bottom, GRID, 0.6),
            _line(x, area.bottom, x, area.bottom + 3.0, MUTED, 0.6),
            _text(tick(value, plot.unit), x, area.bottom + 13.0, 8.0, MUTED, "middle"),
        ]
    unit = f", {plot.unit}" if len(plot.unit) > 2 else ""
    name = f"{plot.axis}{unit}" + (f" ({area.scale.note})" if area.scale.note else "")
    middle = (area.left + area.right) / 2
    return [
        *parts,
        _line(area.left, area.bottom, area.right, area.bottom, MUTED, 0.6),
        _text(name, middle, area.bottom + 25.5, 7.6, MUTED, "middle"),
    ]


def _rows(area: _Area, plot: Plot, labels: Sequence[str], at: Sequence[float], size: float) -> list[str]:
    """Draw each row's line, its label on the left and its text on the right."""
    gap = area.right - area.left
    parts = []
    for row, label, y in zip(plot.rows, labels, at, strict=True):
        parts.append(_line(area.left, y, area.right, y, GRID, 0.5))
        words = label.split("\n")
        for k, word in enumerate(words):
            base = y + 0.36 * size + 1.1 * size * (k - (len(words) - 1) / 2)
            parts.append(_text(word, area.left - 0.025 * gap, base, size, INK, "end"))
        parts.append(_text(row.text, area.right + 0.03 * gap, y + 0.36 * 7.6, 7.6, INK))
    return parts


def _points(area: _Area, plot: Plot, at: Sequence[float], spread: float) -> list[str]:
    """Draw intervals, and over them the points; a reader's pointer shows a point's title."""
    bars, dots = [], []
    for row, middle in zip(plot.rows, at, strict=True):
        for k, p in enumerate(row.points):
            x, y = area.x(p.value), middle + spread * (k - (len(row.points) - 1) / 2)
            colour = SERIES[(p.machine if plot.machines else p.series) % len(SERIES)]
            words = (row.label, plot.series[p.series], quantity(p.value, plot.unit, p.low, p.high).whole)
            if p.low is not None and p.high is not None:
                low, high = area.x(p.low), area.x(p.high)
                bars.append(_line(low, y, high, y, colour, 1.5))
                bars += [_line(end, y - 2.25, end, y + 2.25, colour, 1.0) for end in (low, high)]
            dots.append(
                _mark(p.series, x, y, FILL if p.flagged else colour, colour, ", ".join(w for w in words if w))
            )
    return bars + dots


def _legend(area: _Area, plot: Plot) -> list[str]:
    """Name shapes by series and colours by machine, in one line above the rows."""
    names = plot.series if sum(bool(s) for s in plot.series) > 1 else ()
    x, y = area.left - 4.0, area.top - 15.0
    parts = []
    for i, name in enumerate(names):
        if name:
            colour = MUTED if plot.machines else SERIES[i % len(SERIES)]
            parts += [_mark(i, x + 5.0, y, colour, colour), _text(name, x + 13.0, y + 2.7, 7.6, INK)]
            x += 13.0 + _width_in(name, 7.6) * PT + 11.0
    for i, name in enumerate(plot.machines):
        if name:
            colour = SERIES[i % len(SERIES)]
            parts += [_line(x, y, x + 15.0, y, colour, 2.2), _text(name, x + 19.0, y + 2.7, 7.6, INK)]
            x += 19.0 + _width_in(name, 7.6) * PT + 11.0
    return parts


def _mark(series: int, x: float, y: float, fill: str, edge: str, title: str = "") -> str:
    words = f"<title>{escape(title)}</title>" if title else ""
    style = f"fill: {fill}; stroke: {edge}; stroke-width: 1.1"
    return f'<use href="#m{series % len(SHAPES)}" x="{_n(x)}" y="{_n(y)}" style="{style}">{words}</use>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    style = f"fill: none; stroke: {colour}; stroke-width: {width}"
    return f'<path d="M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}" style="{style}"/>'


def _text(text: str, x: float, y: float, size: float, colour: str, anchor: str = "start") -> str:
    style = f"font: {size}px 'DejaVu Sans', sans-serif; text-anchor: {anchor}; fill: {colour}"
    return f'<text x="{_n(x)}" y="{_n(y)}" style="{style}">{escape(text)}</text>'


def _n(value: float) -> str:
    """Return a coordinate, to a hundredth of a point."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _fit(label: str, width_in: float, size_pt: float) -> str:
    """Return a label in two lines at most; one that is longer ends there."""
    rest, lines = label, []
    for last in (False, True):
        n = len(rest)
        while n > 1 and _width_in(rest[:n] + ("…" if last and n < len(rest) else ""), size_pt) > width_in:
            n -= 1
        if not last and n < len(rest) and " " in rest[1:n]:
            n = rest.rindex(" ", 1, n) + 1
        lines.append(rest[:n].strip() + ("…" if last and n < len(rest) else ""))
        rest = rest[n:]
    return "\n".join(line for line in lines if line)


def _width_in(text: str, size_pt: float) -> float:
    """Return the width of a text, letter by letter: kerning is less than the margin beside it."""
    return sum(_advance(letter) for letter in text) * size_pt / 72.0


@lru_cache(maxsize=1024)
def _advance(letter: str) -> float:
    """Return a letter's width at a size of one point."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_NO_GLYPH)
        width, _, _ = text_to_path.get_text_width_height_descent(
            letter, FontProperties(family="DejaVu Sans", size=100.0), False
        )
    return float(width) / 100.0
