"""A Markdown summary for a CI step: what ran, its headline numbers with their intervals, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.exporters.common import names, usable
from harness.records.escape import literal
from harness.records.headline import HEADLINES, RAW
from harness.records.numbers import quantity
from harness.records.results import Estimate, TrialResult
from harness.system.files import write_atomically

_SHOWN = (*HEADLINES, RAW)


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file."""
    named = list(zip(results, names(results), strict=True))
    good = [(r, n) for r, n in named if r.status == "ok"]
    bad = [(r, n) for r, n in named if r.status not in {"ok", "refused"}]
    refused = len(named) - len(good) - len(bad)
    sweeps = ", ".join(dict.fromkeys(_text(r.sweep) for r in results))
    lines = [
        f"## Joulemark: {sweeps or 'no results'}",
        "",
        f"{len(good)} measured, {len(bad)} failed, {refused} refused.",
        "",
    ]
    if good:
        lines += ["| trial | result | energy | processes | validity |", "|---|---:|---:|---:|---|"]
        lines += [_row(result, name) for result, name in good]
        lines.append("")
    if bad:
        lines += ["| failed | how | phase | reason |", "|---|---|---|---|"]
        lines += [
            f"| {_text(name)} | {r.status} | {_text(r.phase)} | {_text(r.reason or '')} |" for r, name in bad
        ]
        lines.append("")
    return [write_atomically(path, "\n".join(lines))]


def _row(result: TrialResult, name: str) -> str:
    found = {e.metric_id: e for e in usable(result)}
    main = next((found[i] for i in _SHOWN if i in found), None)
    energy = next((e for i, e in found.items() if i in {"energy.token", "energy.sample"}), None)
    validity = "no valid result" if main is None else main.validity
    reasons = f" ({_text(', '.join(main.reasons))})" if main is not None and main.reasons else ""
    cells = (_text(name), _number(main), _number(energy), str(result.replicas_ok), f"{validity}{reasons}")
    return f"| {' | '.join(cells)} |"


def _number(e: Estimate | None) -> str:
    if e is None or e.value is None:
        return "—"
    return quantity(e.value, e.unit, e.low, e.high).whole


def _text(text: str) -> str:
    return literal(" ".join(text.split()))
