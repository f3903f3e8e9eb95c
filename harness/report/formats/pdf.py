"""The report as PDF, typeset by typst from the model as JSON: text is data there, never markup."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness.report.document import Plot, ReportModel, Roofline


def render(model: ReportModel) -> bytes:
    """Render the model; the same model gives the same bytes."""
    import matplotlib as mpl
    import typst

    from harness.report.figures import draw, intervals

    data = asdict(model)
    for section, out in zip(model.sections, data["sections"], strict=True):
        for block, fields in zip(section.blocks, out["blocks"], strict=True):
            if isinstance(block, Plot | Roofline):
                fields["svg"] = intervals.paper(draw.draw(block))
    data["date"] = _date(model.generated_at)
    source = files("harness.report.formats").joinpath("templates/report.typ").read_bytes()
    fonts = typst.Fonts(
        include_system_fonts=False, font_paths=[str(Path(mpl.get_data_path()) / "fonts" / "ttf")]
    )
    compiled = typst.compile(source, sys_inputs={"model": json.dumps(data)}, font_paths=fonts, format="pdf")
    assert isinstance(compiled, bytes)
    return compiled


def _date(generated_at: str) -> dict[str, Any] | None:
    try:
        when = datetime.fromisoformat(generated_at).astimezone(UTC)
    except ValueError:
        return None
    return {k: getattr(when, k) for k in ("year", "month", "day", "hour", "minute", "second")}
