"""What was flagged, judged invalid, missing or unreadable, and why: nothing is left out in silence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from harness.records.results import Validity
from harness.records.validity import describe
from harness.report.document import Block, Cell, Column, Item, Items, Paragraph, Row, Section, Table
from harness.report.text import line, listing, plural
from harness.report.trials import Trial

MOST_TORN = 50
KINDS: tuple[Validity, ...] = ("invalid", "flagged", "unavailable")


@dataclass(slots=True)
class _Finding:
    """One reason, with the metrics and trials that it touches."""

    reason: str
    varies: bool = False
    metrics: dict[str, None] = field(default_factory=dict)
    trials: dict[str, None] = field(default_factory=dict)


def omissions_section(ok: Sequence[Trial], torn: Sequence[str]) -> Section:
    """Every flag, every invalid or missing metric and every torn record, each with its reason."""
    blocks: list[Block] = [
        Paragraph(
            "An invalid value is not shown, ranked or drawn. A flagged value is shown with its flag. "
            "A missing value is never 0."
        )
    ]
    found = _findings(ok)
    if found:
        columns = (
            Column("Validity"),
            Column("Reason", wide=True),
            Column("Metrics", wide=True),
            Column("Trials", numeric=True),
            Column("Which", wide=True),
        )
        rows = [Row(_cells(kind, f, len(ok))) for kind in KINDS for (k, _), f in found.items() if k == kind]
        blocks.append(Table("omissions-table", "Reasons", columns, tuple(rows)))
    if torn:
        verb = "is" if len(torn) == 1 else "are"
        blocks.append(Paragraph(f"{plural(len(torn), 'record')} could not be read and {verb} left out:"))
        blocks.append(Items(tuple(Item("", line(t, 300)) for t in torn[:MOST_TORN])))
    if len(torn) > MOST_TORN:
        blocks.append(Paragraph(f"{len(torn) - MOST_TORN} more are not listed.", "note"))
    return Section("omissions", "Flags and omissions", tuple(blocks))


def _findings(ok: Sequence[Trial]) -> dict[tuple[str, str], _Finding]:
    """Gather by validity and reason; reasons that differ in their numbers only are one."""
    found: dict[tuple[str, str], _Finding] = {}
    for t in ok:
        name = t.name
        for e in t.result.estimates.values():
            for kind, reason in () if e.validity == "valid" else _reasons(e.reasons):
                finding = found.get((e.validity, kind))
                if finding is None:
                    finding = found[e.validity, kind] = _Finding(reason)
                finding.varies |= finding.reason != reason
                finding.metrics[e.title] = None
                finding.trials[name] = None
    return found


@lru_cache(maxsize=4096)
def _reasons(reasons: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return each reason as it is shown, behind what it shares with those that differ in numbers only."""
    texts = (
        line(r if describe(r) == r else f"{r}: {describe(r)}", 300)
        for r in reasons or ("no reason was recorded",)
    )
    return tuple((re.sub(r"\d+", "0", text), text) for text in texts)


def _cells(kind: Validity, finding: _Finding, results: int) -> tuple[Cell, ...]:
    names = list(finding.trials)
    which = "all with a result" if len(names) == results > 3 else listing(names, 3)
    reason = f"{finding.reason} (numbers differ)" if finding.varies else finding.reason
    return (
        Cell(kind, order=kind, mark=kind),
        Cell(reason, order=reason),
        Cell(listing([line(m, 60) for m in finding.metrics]), order=line(next(iter(finding.metrics)), 60)),
        Cell(str(len(names)), order=float(len(names))),
        Cell(which),
    )
