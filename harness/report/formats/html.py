"""The report as one self-contained HTML page: no request leaves it, and it works without its script."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from harness.report.document import Figure, ReportModel

MOST_ROWS = 200
"""Rows of a table on the page; its file beside the report has all."""


def render(model: ReportModel) -> bytes:
    """Render the model. Text is escaped by Jinja2; only our own style, script and figures are not."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from harness.report.figures import draw, svg

    templates = files("harness.report.formats").joinpath("templates")
    style, script, page = (
        templates.joinpath(name).read_text("utf-8") for name in ("report.css", "report.js", "report.html.j2")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    def figure(plot: Figure) -> Markup:
        return Markup(svg.screen(draw.draw(plot), plot.id))  # noqa: S704 - their text is escaped

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return (
        environment.from_string(page)
        .render(
            model=model,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            script_digest=digest,
            figure=figure,
            most_rows=MOST_ROWS,
        )
        .encode()
    )
