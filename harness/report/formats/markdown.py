"""The report as Markdown, readable as it is and as the summary of a CI job."""

from __future__ import annotations

import re

from harness.report.document import (
    Block,
    Cell,
    Code,
    Front,
    Items,
    Measured,
    Paragraph,
    Plot,
    ReportModel,
    Roofline,
    Table,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&$@!])")


def render(model: ReportModel) -> bytes:
    """Render the model; figures whose numbers stand in tables are left to HTML and PDF."""
    head = [
        f"# {escape(model.title)}",
        "",
        f"{escape(model.subtitle)}. Generated {escape(model.generated_at)} by {escape(model.generator)}.",
    ]
    head += ["", escape(model.notice)] if model.notice else []
    head += ["", " · ".join(f"**{escape(t.text)}** {escape(t.term)}" for t in model.tiles)]
    parts = ["\n".join(head)]
    for section in model.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block, section.title))]
    return ("\n\n".join(parts) + "\n").encode()


def escape(text: str) -> str:
    """Make text literal: no markup, no HTML, no link, no mention, no table border."""
    one_line = " ".join(text.split("\n"))
    return re.sub(r"(?i)\b(https?|www)(?=[:.])", "\\1\u2060", _SPECIAL.sub(r"\\\1", one_line))


def _block(block: Block, section: str) -> str:
    match block:
        case Paragraph(text=text):
            return escape(text)
        case Items(items=items):
            return "\n".join(
                f"- **{escape(i.term)}:** {escape(i.text)}" if i.term else f"- {escape(i.text)}"
                for i in items
            )
        case Code(title=title, text=text):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
            return f"**{escape(title)}**\n\n{fence}text\n{text}\n{fence}"
        case Table():
            return _table(block, section)
        case Front():
            return _front(block)
        case Plot() | Roofline():
            return ""


def _front(front: Front) -> str:
    """List what a figure shows: each mark's values, and how surely it is on the front."""
    marks = [
        f"- {escape(m.label)}{f' ({escape(front.machines[m.machine])})' if len(front.machines) > 1 else ''}"
        f": {escape(front.values(m))}"
        for m in front.marks
        if m.label
    ]
    return "\n".join([f"**{escape(front.title)}** {escape(front.caption)}", "", *marks])


def _table(table: Table, section: str) -> str:
    head = "| " + " | ".join(escape(c.title) for c in table.columns) + " |"
    rule = "|" + "|".join(" ---: " if c.numeric else " --- " for c in table.columns) + "|"
    rows = ["| " + " | ".join(_cell(c) for c in row.cells) + " |" for row in table.rows]
    note = [f"\n{escape(table.note)}"] if table.note else []
    title = [f"### {escape(table.title)}\n"] if table.title != section else []
    return "\n".join([*title, head, rule, *rows, *note])


def _cell(cell: Cell | Measured) -> str:
    detail = f" ({escape(cell.detail)})" if cell.detail else ""
    return escape(cell.text) + detail
