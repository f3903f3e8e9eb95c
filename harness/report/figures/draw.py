"""Draw any figure of a report."""

from __future__ import annotations

from harness.report.document import Figure, Front, Plot
from harness.report.figures import front, intervals, roofline


def draw(figure: Figure) -> str:
    """Draw a figure as an SVG element in sentinel colours."""
    if isinstance(figure, Front):
        return front.draw(figure)
    return intervals.draw(figure) if isinstance(figure, Plot) else roofline.draw(figure)
