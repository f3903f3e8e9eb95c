"""The page `docs/foreign.md`, written from the importers' tables: run this module to print it."""

from __future__ import annotations

import importlib

from harness.exporters.importers import BUILT_IN
from harness.exporters.importers.definitions import Definition, Tool

_HEAD = """\
# Other tools' results

`joulemark import FILE --from TOOL` keeps another tool's numbers beside our records, labelled foreign,
unverified and without interval; `joulemark compare SWEEP foreign/FILE` puts them beside ours and gives no
verdict. Each number is taken as its tool's documents define it. A name that is in no table keeps its value,
and has no unit and no counterpart of ours. A number that cannot be taken is listed with its place, and the
others are kept.

The importers read these tables, and this page is written from them: a test holds the two together.
"""


def tools() -> list[Tool]:
    """Return the table of every tool whose files can be imported."""
    return [importlib.import_module(module).TOOL for module in BUILT_IN.values()]


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(_section(tool) for tool in tools())])


def _section(tool: Tool) -> str:
    rows = "\n".join(_row(d) for d in tool.definitions)
    note = f"\n{tool.note}\n" if tool.note else ""
    return (
        f"## {tool.name}\n\nFollows {tool.version}: {tool.document}.\n{note}\n"
        "| metric, e.g. | unit | kept in | statistic | phase | what it is | like our |\n"
        f"| --- | --- | --- | --- | --- | --- | --- |\n{rows}\n"
    )


def _row(d: Definition) -> str:
    ours = f"`{d.ours}`" if d.ours else "none"
    cells = (f"`{d.example}`", d.their_unit, d.kept_unit, d.statistic, d.phase, d.meaning, ours)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(page(), end="")
