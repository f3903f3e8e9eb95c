"""What figures share: CSS colours for the screen and fixed ones for paper, and matplotlib's look."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_IN = 7.2
MARKERS = ("o", "^", "s", "D")
"""A series' shape in matplotlib's words."""

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
