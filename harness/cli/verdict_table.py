"""Print comparisons as a table: one line a metric, what cannot be compared with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cli.output import print_table
from harness.comparison.verdicts import Line
from harness.records.metrics import METRICS
from harness.records.numbers import quantity
from harness.stats import Comparison

COLUMNS = ("metric", "verdict", "effect", "interval", "detectable", "base", "head", "notes")


def print_verdicts(lines: Sequence[Line], *, title: str = "") -> None:
    """Print one line a metric."""
    print_table(COLUMNS, [row(line) for line in lines], title=title)


def row(line: Line) -> list[str]:
    """Return the cells of one line, as `COLUMNS` names them."""
    d, found = METRICS[line.metric_id], line.comparison
    if found is None:
        return [d.title, line.label, "", "", "", "", "", line.reason or ""]
    return [
        d.title,
        line.label,
        f"{found.effect:+.2%}",
        "" if found.low is None or found.high is None else f"{found.low:+.2%} to {found.high:+.2%}",
        "" if found.mde is None else f"{found.mde:.2%}",
        "" if line.base is None else quantity(line.base, d.unit).text,
        "" if line.head is None else quantity(line.head, d.unit).text,
        ", ".join(line.flags),
    ]


def effect(found: Comparison) -> str:
    """Return the effect with its interval, e.g. `+2.1% (+1.4% to +2.8%)`."""
    interval = "" if found.low is None or found.high is None else f" ({found.low:+.1%} to {found.high:+.1%})"
    return f"{found.effect:+.1%}{interval}"
