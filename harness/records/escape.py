"""Text of records made literal for what reads it: Markdown here; each other writer knows its own format."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&$@!{}])")
_LINK = re.compile(r"(?i)\b(https?|www)(?=[:.])")


def literal(text: str) -> str:
    """Make text literal in Markdown: one line, no markup, HTML, link, mention, table border or control."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    return _LINK.sub("\\1\u2060", _SPECIAL.sub(r"\\\1", shown))
