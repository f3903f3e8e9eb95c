"""Draw plots as SVG: dots and intervals on rows, in CSS colours for the screen and fixed ones for paper."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from harness.records.numbers import quantity, tick
from harness.report.document import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN, RIGHT_IN = 7.2, 1.2
LEFTS_IN = (1.3, 1.8, 2.4)
"""Room for labels: few widths, so that the axes of neighbouring figures are in line."""
ROW_IN, GAP_ROWS, MARGIN_IN = 0.22, 0.4, 0.14
LABEL_PT, SMALL_PT = 8.0, 6.6
LOG_ABOVE = 30.0
"""A plot whose values span more than this factor has a logarithmic axis."""
ZERO_BELOW = 0.75
"""A linear axis starts at 0 when its lowest value is below this share of its highest."""
MOST_TICKS = 7
MARKERS = ("o", "^", "s", "D")
"""A series' shape; an open marker is a flagged value."""

# Drawn in sentinel colours, which the screen replaces by CSS variables and paper by fixed colours.
INK, MUTED, GRID, FILL = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
SERIES = ("#0a0b11", "#0a0b12", "#0a0b13", "#0a0b14")
_NAMES = {INK: "ink", MUTED: "muted", GRID: "grid", FILL: "paper"} | {
    c: f"series-{i}" for i, c in enumerate(SERIES)
}
PAPER = {
    "ink": "#1a1d21",
    "muted": "#59616b",
    "grid": "#d9dde2",
    "paper": "#ffffff",
    "series-0": "#0b5a94",
    "series-1": "#c2500a",
    "series-2": "#00795a",
    "series-3": "#7a4ea3",
}
RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "joulemark",
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "xtick.major.size": 3.0,
    "axes.unicode_minus": True,
}
SVG: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}
"""Metadata that would change from run to run is left out."""
_TAG = re.compile(r"<[^>]+>")
_MARK = re.compile(r"(<use [^>]*)/>")
_NO_GLYPH = "Glyph .* missing from font"
"""Matplotlib's warning; the reader's own fonts may have the glyph."""


@lru_cache(maxsize=256)
def draw(plot: Plot) -> str:
    """Draw a plot as an SVG element in sentinel colours; equal plots give equal text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    longest = max(_width_in(row.label, LABEL_PT) for row in plot.rows) + MARGIN_IN
    left = next((width for width in LEFTS_IN if width >= longest), LEFTS_IN[-1])
    size = LABEL_PT if left >= longest else SMALL_PT
    labels = [_fit(row.label, left - MARGIN_IN, size) for row in plot.rows]
    positions, y = [], 0.0
    for i, row in enumerate(plot.rows):
        y += GAP_ROWS if row.first and i else 0.0
        positions.append(y)
        y += 1.0
    several = sum(bool(s) for s in plot.series) > 1
    many = several or len(plot.machines) > 1
    top, bottom = 0.34 if many else 0.08, 0.46
    height = top + bottom + y * ROW_IN
    with mpl.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_NO_GLYPH)
        figure = Figure(figsize=(WIDTH_IN, height))
        FigureCanvasSVG(figure)
        box = (
            left / WIDTH_IN,
            bottom / height,
            (WIDTH_IN - left - RIGHT_IN) / WIDTH_IN,
            y * ROW_IN / height,
        )
        axes = figure.add_axes(box)
        _scale(axes, plot)
        _frame(axes, y)
        _labels(axes, plot, labels, positions, size)
        drawn = _points(axes, plot, positions, spread=0.22 if several else 0.0)
        if many:
            _legend(axes, plot, lift=top / (y * ROW_IN))
        return _with_hover(svg_of(figure), drawn)


def _with_hover(svg: str, drawn: Mapping[str, Sequence[str]]) -> str:
    """Give each point a title, which a reader's pointer shows; `drawn` holds them by group, in order."""
    for group, titles in drawn.items():
        start = svg.index(f'<g id="{group}">')
        parts = _MARK.split(svg[start : svg.index("</g>", start)])
        titled = "".join(
            f"{mark}><title>{escape(title)}</title></use>{after}"
            for mark, after, title in zip(parts[1::2], parts[2::2], titles, strict=True)
        )
        svg = f"{svg[:start]}{parts[0]}{titled}{svg[svg.index('</g>', start) :]}"
    return svg


def svg_of(figure: Figure) -> str:
    """Return a figure as an SVG element."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata=SVG)
    svg = out.getvalue()
    return svg[svg.index("<svg") :].strip()


def screen(svg: str, prefix: str) -> str:
    """Return the SVG for a page: colours as CSS variables, ids that are unique in it."""

    def adapt(match: re.Match[str]) -> str:
        tag = match.group()
        for colour, name in _NAMES.items():
            tag = tag.replace(colour, f"var(--fig-{name})")
        tag = re.sub(r'(\s)id="', rf'\1id="{prefix}-', tag)
        return tag.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')

    return _TAG.sub(adapt, svg)


def paper(svg: str) -> str:
    """Return the SVG with fixed colours, for print."""

    def adapt(match: re.Match[str]) -> str:
        tag = match.group()
        for colour, name in _NAMES.items():
            tag = tag.replace(colour, PAPER[name])
        return tag

    return _TAG.sub(adapt, svg)


def _frame(axes: Axes, height: float) -> None:
    """Leave a row's place for each row, no vertical axis, and a grid behind the marks."""
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_yticks([])
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _labels(axes: Axes, plot: Plot, labels: Sequence[str], positions: Sequence[float], size: float) -> None:
    """Draw each row's line, its label on the left and its text on the right."""
    side = axes.get_yaxis_transform()
    axes.hlines(positions, 0, 1, transform=side, colors=GRID, linewidth=0.5, zorder=0.6)
    for row, label, at in zip(plot.rows, labels, positions, strict=True):
        axes.text(-0.025, at, label, transform=side, ha="right", va="center", linespacing=1.0, fontsize=size)
        axes.text(1.03, at, row.text, transform=side, ha="left", va="center", fontsize=7.6)


def _points(axes: Axes, plot: Plot, positions: Sequence[float], spread: float) -> dict[str, list[str]]:
    """Draw intervals and points, those of one look together; return the points' titles by group."""
    looks: dict[tuple[str, str, bool], list[tuple[float, float, str]]] = defaultdict(list)
    bars: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for row, at in zip(plot.rows, positions, strict=True):
        for k, p in enumerate(row.points):
            y = at + spread * (k - (len(row.points) - 1) / 2)
            colour = SERIES[(p.machine if plot.machines else p.series) % len(SERIES)]
            words = (row.label, plot.series[p.series], quantity(p.value, plot.unit, p.low, p.high).whole)
            title = ", ".join(w for w in words if w)
            looks[MARKERS[p.series % len(MARKERS)], colour, p.flagged].append((p.value, y, title))
            if p.low is not None and p.high is not None:
                bars[colour].append((y, p.low, p.high))
    for colour, held in bars.items():
        ys, lows, highs = zip(*held, strict=True)
        axes.hlines(ys, lows, highs, colors=colour, linewidth=1.5, zorder=2)
        axes.plot(
            [*lows, *highs], [*ys, *ys], color=colour, linestyle="none", marker="|", markersize=4.5,
            markeredgewidth=1.0, zorder=2,
        )  # fmt: skip
    drawn = {}
    for n, ((marker, colour, flagged), points) in enumerate(looks.items()):
        xs, ys, titles = zip(*points, strict=True)
        axes.plot(
            xs, ys, gid=f"points-{n}", linestyle="none", marker=marker, markersize=4.8,
            markerfacecolor=FILL if flagged else colour, markeredgecolor=colour, markeredgewidth=1.1,
            zorder=3,
        )  # fmt: skip
        drawn[f"points-{n}"] = list(titles)
    return drawn


def _legend(axes: Axes, plot: Plot, lift: float) -> None:
    """Name shapes by series and colours by machine."""
    from matplotlib.lines import Line2D

    names = plot.series if sum(bool(s) for s in plot.series) > 1 else ()
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=MARKERS[i],
            color=MUTED if plot.machines else SERIES[i],
            markersize=4.8,
            label=name,
        )
        for i, name in enumerate(names)
        if name
    ]
    handles += [
        Line2D([], [], linewidth=2.2, color=SERIES[i % len(SERIES)], label=name)
        for i, name in enumerate(plot.machines)
        if name
    ]
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(-0.02, 1 + lift),
        ncols=len(handles),
        frameon=False,
        fontsize=7.6,
        handletextpad=0.5,
        columnspacing=1.4,
        borderaxespad=0.0,
        borderpad=0.2,
    )


def _scale(axes: Axes, plot: Plot) -> None:
    """Set a linear or logarithmic axis with ticks that cannot touch each other."""
    values = [v for row in plot.rows for p in row.points for v in (p.value, p.low, p.high) if v is not None]
    low, high = min(values), max(values)
    note = ""
    if low > 0 and high / low > LOG_ABOVE:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.25, high * 1.25)
        ticks = log_ticks(low / 1.25, high * 1.25, binary=plot.unit == "B")
        note = "logarithmic axis"
    else:
        from_zero = low >= 0 and low < ZERO_BELOW * high
        pad = max(0.08 * (high - low), 0.04 * abs(high)) or 1.0  # never so close that ticks look alike
        start, stop = (0.0 if from_zero else low - pad), high + pad
        axes.set_xlim(start, stop)
        ticks = linear_ticks(start, stop, binary=plot.unit == "B")
        note = "" if from_zero else "axis does not start at 0"
    axes.set_xticks(ticks, [tick(t, plot.unit) for t in ticks])
    axes.minorticks_off()
    unit = f", {plot.unit}" if len(plot.unit) > 2 else ""
    axes.set_xlabel(f"{plot.axis}{unit}" + (f" ({note})" if note else ""), fontsize=7.6, labelpad=3)


def linear_ticks(start: float, stop: float, *, binary: bool = False) -> list[float]:
    """Round positions, at most `MOST_TICKS - 1` of them; powers of two apart for bytes."""
    rough = (stop - start) / (MOST_TICKS - 2)
    if binary:
        step = 2.0 ** math.ceil(math.log2(rough))
    else:
        base = 10.0 ** math.floor(math.log10(rough))
        step = next(m * base for m in (1, 2, 5, 10) if m * base >= rough * (1 - 1e-9))
    first = math.ceil(start / step - 1e-9)
    return [i * step for i in range(first, math.floor(stop / step + 1e-9) + 1)]


def log_ticks(start: float, stop: float, *, binary: bool = False) -> list[float]:
    """Positions 1-2-5, decades, or every so many decades: the finest that gives at most `MOST_TICKS`."""
    if binary:
        exponents = range(math.ceil(math.log2(start)), math.floor(math.log2(stop)) + 1)
        stride = math.ceil(len(exponents) / MOST_TICKS)
        return [2.0**e for e in exponents if e % stride == 0]
    decades = range(math.floor(math.log10(start)), math.ceil(math.log10(stop)) + 1)
    fine = [t for e in decades for m in (1, 2, 5) if start <= (t := m * 10.0**e) <= stop]
    if len(fine) <= MOST_TICKS:
        return fine
    stride = math.ceil(len(decades) / MOST_TICKS)
    return [t for e in decades if e % stride == 0 and start <= (t := 10.0**e) <= stop]


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
