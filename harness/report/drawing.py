"""Draw any figure of a report."""

from __future__ import annotations

from harness.report import figures, roofline_figure
from harness.report.document import Figure, Plot


def draw(figure: Figure) -> str:
    """Draw a figure as an SVG element in sentinel colours."""
    return figures.draw(figure) if isinstance(figure, Plot) else roofline_figure.draw(figure)
