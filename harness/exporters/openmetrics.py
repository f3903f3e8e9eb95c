"""OpenMetrics text, for whatever reads that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.exporters.exposition import of_results, render
from harness.records.results import TrialResult
from harness.system.files import write_atomically


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file."""
    return [write_atomically(path, render(of_results(results), openmetrics=True))]
