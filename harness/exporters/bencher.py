"""Bencher metric format: a benchmark a trial, a measure a metric, its interval as the bounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.exporters.common import names, usable, write_json
from harness.records.results import TrialResult

_LONGEST_NAME = 1024


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file. A measure is named after its metric, in lower-case words joined by hyphens."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for result, name in zip(results, names(results), strict=True):
        measures = {}
        for e in usable(result):
            assert e.value is not None
            bounds = {"lower_value": e.low, "upper_value": e.high}
            measure = {"value": e.value} | {k: v for k, v in bounds.items() if v is not None}
            measures[e.metric_id.replace(".", "-").replace("_", "-")] = measure
        if measures:
            found[name[:_LONGEST_NAME]] = measures
    return [write_json(path, found)]
