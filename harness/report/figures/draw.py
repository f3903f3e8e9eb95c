"""Draw any figure of a report."""

from __future__ import annotations

from harness.report.document import Figure, Plot
from harness.report.figures import intervals, roofline


def draw(figure: Figure) -> str:
    """Draw a figure as an SVG element in sentinel colours."""
    return intervals.draw(figure) if isinstance(figure, Plot) else roofline.draw(figure)
