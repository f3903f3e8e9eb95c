"""Draw two objectives against each other, and which trials are on the front."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING

from harness.records.numbers import tick
from harness.report.document import Front
from harness.report.figures.svg import FILL, GRID, MARKERS, MUTED, RC, SERIES, WIDTH_IN, svg_of
from harness.report.figures.ticks import linear_ticks, log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT_IN, LEFT_IN, BOTTOM_IN, TOP_IN, RIGHT_IN = 3.2, 0.95, 0.5, 0.35, 1.6
LOG_ABOVE = 10.0
ON_FRONT = 0.2
"""Probability from which on a mark is filled and has its label."""
CLOSE = 0.06
"""Share of the axis below which two labels would touch."""


@lru_cache(maxsize=16)
def draw(plot: Front) -> str:
    """Draw a front as an SVG element in sentinel colours; equal plots give equal text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with mpl.rc_context(RC):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN))
        FigureCanvasSVG(figure)
        box = (
            LEFT_IN / WIDTH_IN,
            BOTTOM_IN / HEIGHT_IN,
            1 - (LEFT_IN + RIGHT_IN) / WIDTH_IN,
            1 - (BOTTOM_IN + TOP_IN) / HEIGHT_IN,
        )
        axes = figure.add_axes(box)
        _frame(axes, plot)
        _marks(axes, plot)
        if plot.machines:
            handles = [
                Line2D([], [], linewidth=2.2, color=SERIES[i % len(SERIES)], label=name)
                for i, name in enumerate(plot.machines)
                if name
            ]
            axes.legend(
                handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, frameon=False,
                fontsize=7.6, borderaxespad=0.0,
            )  # fmt: skip
        svg = svg_of(figure)
    for n, mark in enumerate(plot.marks):
        words = f"{mark.label}: {plot.values(mark)}"
        group = f'<g id="{plot.id}-mark-{n}">'
        svg = svg.replace(group, f"{group}<title>{escape(words)}</title>", 1)
    return svg


def _frame(axes: Axes, plot: Front) -> None:
    """Set both axes, logarithmic where values span much, with their ticks and names."""
    for name, values, (title, unit) in (
        ("x", [m.x for m in plot.marks], plot.x),
        ("y", [m.y for m in plot.marks], plot.y),
    ):
        low, high = min(values), max(values)
        logarithmic = low > 0 and high / low > LOG_ABOVE
        span = high - low or abs(high) or 1.0
        start, stop = (low / 1.3, high * 1.3) if logarithmic else (low - 0.12 * span, high + 0.12 * span)
        ticks = log_ticks(start, stop) if logarithmic else linear_ticks(start, stop)
        if logarithmic:
            getattr(axes, f"set_{name}scale")("log")
        getattr(axes, f"set_{name}lim")(start, stop)
        getattr(axes, f"set_{name}ticks")(ticks, [tick(t, unit) for t in ticks])
        shown = f"{title}, {unit}" if len(unit) > 2 else title
        label = f"{shown} (logarithmic)" if logarithmic else shown
        getattr(axes, f"set_{name}label")(label, fontsize=7.6, labelpad=3)
    axes.yaxis.set_label_coords(-(LEFT_IN - 0.12) / (WIDTH_IN - LEFT_IN - RIGHT_IN), 0.5)
    axes.minorticks_off()
    axes.tick_params(axis="y", colors=MUTED, width=0.6, size=3.0)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _marks(axes: Axes, plot: Front) -> None:
    """Draw each trial; those on the front are filled and named where a name has room."""
    taken: list[float] = []
    for n, mark in enumerate(plot.marks):
        colour = SERIES[mark.machine % len(SERIES)]
        front = mark.chance is not None and mark.chance >= ON_FRONT
        axes.plot(
            [mark.x],
            [mark.y],
            gid=f"{plot.id}-mark-{n}",
            linestyle="none",
            marker=MARKERS[0],
            markersize=5.6 if front else 4.4,
            markerfacecolor=colour if front or mark.chance is None else FILL,
            markeredgecolor=colour,
            zorder=3,
        )
        height = float(axes.transAxes.inverted().transform(axes.transData.transform((mark.x, mark.y)))[1])
        if (front or mark.chance is None) and all(abs(height - other) > CLOSE for other in taken):
            taken.append(height)
            axes.annotate(
                mark.label if len(mark.label) <= 36 else f"{mark.label[:35]}…",
                (mark.x, mark.y),
                xytext=(6, 3),
                textcoords="offset points",
                fontsize=6.8,
            )
