"""`joulemark compare SWEEP foreign/FILE`: another tool's numbers beside ours, and no verdict on them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cli.output import print_json, print_table
from harness.records import open_store
from harness.records.foreign import FOLDER, Beside, ForeignFile, beside, find_foreign
from harness.records.metrics import METRICS
from harness.records.results import Estimate, TrialResult
from harness.system.errors import UsageError

NO_VERDICT = 4
"""Nothing can be said where one side has no interval and was not seen by this instrument."""


def is_foreign(name: str) -> bool:
    """Return whether a side of a comparison names an imported file: `foreign/NAME`, in any results folder."""
    return Path(name).parent.name == FOLDER


def show_beside(results: Sequence[TrialResult], ours: str, theirs: str, options: argparse.Namespace) -> int:
    """Print each metric that both have, ours first, and return the exit code.

    Raises:
        ValueError: no such file, or nothing in it is of a kind that we measured.
    """
    folder = Path(theirs).parent.parent
    file = find_foreign(open_store(options.results if folder == Path() else folder), Path(theirs).name)
    found = beside(results, file)
    if not found:
        kinds = ", ".join(dict.fromkeys(f"{r.metric} in {r.unit or 'no unit'}" for r in file.results))
        raise UsageError(f"{ours} and {theirs}: no metric of the same kind and unit; {file.file} has {kinds}")
    alone = len(file.results) - sum(len(one.foreign) for one in found)
    if options.json:
        print_json(_plain(ours, file, found, alone))
        return NO_VERDICT
    rows = [row for one in found for row in _rows(one)]
    title = f"{ours} beside {file.file} of {file.source} ({', '.join(file.labels)})"
    print_table(["metric", "side", "what", "value", "unit", "interval"], rows, title=title)
    print(
        "\nno verdict: the foreign numbers are unverified, defined in their tool's way and without intervals"
    )
    if alone:
        print(f"without a counterpart here: {alone} of its {len(file.results)} results")
    return NO_VERDICT


def _rows(one: Beside) -> list[list[str]]:
    rows = [[f"ours, {e.validity}", label, f"{e.value:.4g}", e.unit, _interval(e)] for label, e in one.ours]
    rows += [
        ["foreign, unverified", f"{r.name} ({r.metric})", f"{r.value:.4g}", r.unit, "none"]
        for r in one.foreign
    ]
    titles = [METRICS[one.metric_id].title] + [""] * (len(rows) - 1)
    return [[title, *row] for title, row in zip(titles, rows, strict=True)]


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "none"
    return f"{estimate.low:.4g} to {estimate.high:.4g}"


def _plain(ours: str, file: ForeignFile, found: Sequence[Beside], alone: int) -> dict[str, Any]:
    return {
        "ours": ours,
        "foreign": file.key,
        "source": file.source,
        "file": file.file,
        "labels": list(file.labels),
        "verdict": None,
        "metrics": [
            {
                "metric": one.metric_id,
                "unit": METRICS[one.metric_id].unit,
                "ours": [
                    {"trial": label, "value": e.value, "low": e.low, "high": e.high, "validity": e.validity}
                    for label, e in one.ours
                ],
                "foreign": [
                    {"name": r.name, "metric": r.metric, "value": r.value, "n": r.n} for r in one.foreign
                ],
            }
            for one in found
        ],
        "without_counterpart": alone,
        "exit_code": NO_VERDICT,
    }
