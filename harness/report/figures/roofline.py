"""Draw rooflines: attained FLOP/s over FLOPs per byte, both logarithmic, under the measured ceilings."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from harness.records.numbers import tick
from harness.report.document import Roofline
from harness.report.figures.svg import GRID, MARKERS, MUTED, RC, SERIES, WIDTH_IN, svg_of
from harness.report.figures.ticks import log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT_IN, LEFT_IN, BOTTOM_IN, MARGIN_IN = 3.4, 0.85, 0.5, 0.15


@lru_cache(maxsize=64)
def draw(plot: Roofline) -> str:
    """Draw a roofline as an SVG element in sentinel colours; equal plots give equal text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    ridges = [roof.flop_s / roof.bandwidth_b_s for roof in plot.roofs]
    left = min([m.intensity for m in plot.marks] + ridges) / 4
    right = max([m.intensity for m in plot.marks] + ridges) * 4
    low = min(m.attained_flop_s for m in plot.marks) / 3
    high = max([roof.flop_s for roof in plot.roofs] + [m.attained_flop_s for m in plot.marks]) * 2.5
    with mpl.rc_context(RC):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN))
        FigureCanvasSVG(figure)
        axes = figure.add_axes(
            (
                LEFT_IN / WIDTH_IN,
                BOTTOM_IN / HEIGHT_IN,
                1 - (LEFT_IN + MARGIN_IN) / WIDTH_IN,
                1 - (BOTTOM_IN + MARGIN_IN) / HEIGHT_IN,
            )
        )
        _frame(axes, (left, right), (low, high))
        for i, roof in enumerate(plot.roofs):
            colour, ridge = SERIES[i % len(SERIES)], ridges[i]
            heights = [left * roof.bandwidth_b_s, roof.flop_s, roof.flop_s]
            axes.plot([left, ridge, right], heights, color=colour, linewidth=1.4, zorder=2)
            axes.text(right, roof.flop_s, roof.label, ha="right", va="bottom", fontsize=7.6, color=colour)
        for mark in plot.marks:
            colour = SERIES[mark.roof % len(SERIES)]
            axes.plot(
                [mark.intensity],
                [mark.attained_flop_s],
                linestyle="none",
                marker=MARKERS[mark.roof % len(MARKERS)],
                markersize=4.8,
                color=colour,
                zorder=3,
            )
            axes.annotate(
                mark.label,
                (mark.intensity, mark.attained_flop_s),
                xytext=(4, 2),
                textcoords="offset points",
                fontsize=6.6,
                clip_on=True,
            )
        return svg_of(figure)


def _frame(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Set both logarithmic axes, FLOPs per byte and FLOP/s, with their ticks and names."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*x)
    axes.set_ylim(*y)
    axes.set_xticks(ticks := log_ticks(*x), [tick(t, "1") for t in ticks])
    axes.set_yticks(ticks := log_ticks(*y), [tick(t, "FLOP/s") for t in ticks])
    axes.minorticks_off()
    axes.tick_params(axis="y", colors=MUTED, width=0.6, size=3.0)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("FLOPs for each byte of the least traffic (logarithmic)", fontsize=7.6, labelpad=3)
    axes.set_ylabel("FLOP/s (logarithmic)", fontsize=7.6, labelpad=3)
