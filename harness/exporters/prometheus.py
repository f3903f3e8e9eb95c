"""A file for the textfile collector of Prometheus's node_exporter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.exporters.exposition import of_results, render
from harness.records.results import TrialResult
from harness.system.files import write_atomically


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file, whole at once, because the collector may read it at any moment."""
    return [write_atomically(path, render(of_results(results)))]
