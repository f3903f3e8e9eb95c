"""Draw a report from results: one model, rendered to HTML, PDF and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.report.data_files import FOLDER, data_files
from harness.report.document import ReportModel
from harness.report.model import build
from harness.system.errors import UsageError, access_to
from harness.system.files import write_atomically

FORMATS = ("html", "pdf", "md")

__all__ = ["FORMATS", "ReportModel", "build", "write"]


def write(model: ReportModel, out_dir: Path, formats: Sequence[str]) -> list[Path]:
    """Write `report.html`, `report.pdf` and `report.md` as asked, and return their paths.

    The numbers behind every table and figure are written to the folder `data` beside them.

    Raises:
        UsageError: a format that is not one of `FORMATS`.
        ResourceError: the folder cannot be written.
    """
    renderers = [(name, _renderer(name)) for name in dict.fromkeys(formats)]
    with access_to(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
    written = []
    for name, render in renderers:
        path, drawn = out_dir / f"report.{name}", render(model)
        written.append(write_atomically(path, drawn))
    for name, content in data_files(model):
        write_atomically(out_dir / FOLDER / name, content)
    return written


def _renderer(name: str) -> Callable[[ReportModel], bytes]:
    """Import only what the format needs."""
    if name == "html":
        from harness.report.formats.html import render
    elif name == "pdf":
        from harness.report.formats.pdf import render
    elif name == "md":
        from harness.report.formats.markdown import render
    else:
        raise UsageError(f"no report format {name!r}; there are {', '.join(FORMATS)}")
    return render
