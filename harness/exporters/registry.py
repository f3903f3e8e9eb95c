"""Find exporters by name: our own files, and other packages' by the entry point `joulemark.exporters`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.records.results import TrialResult
from harness.system.errors import UsageError
from workloads.plugins import Registry, nearest

Export = Callable[[Sequence[TrialResult], Path], list[Path]]
"""Write results to a path; returns the files written, which may be several beside it."""

GROUP = "joulemark.exporters"
BUILT_IN = {
    "junit": ("harness.exporters.junit", ".xml", "JUnit XML: a test case a trial"),
    "pytest-benchmark": (
        "harness.exporters.pytest_benchmark",
        ".json",
        "pytest-benchmark: a round a process",
    ),
    "bencher": ("harness.exporters.bencher", ".json", "Bencher metric format"),
    "github-action-benchmark": (
        "harness.exporters.github_action",
        ".json",
        "two files, by which direction is better",
    ),
    "csv": ("harness.exporters.csv_table", ".csv", "a row a metric"),
    "parquet": ("harness.exporters.parquet", ".parquet", "a row a metric"),
    "markdown": ("harness.exporters.step_summary", ".md", "a summary for a CI step"),
    "mlperf-system": ("harness.exporters.mlperf_system", ".json", "MLPerf's description of a system"),
    "prometheus": ("harness.exporters.prometheus", ".prom", "a file for node_exporter's textfile collector"),
    "openmetrics": ("harness.exporters.openmetrics", ".txt", "OpenMetrics text"),
    "tensorboard": ("harness.exporters.tensorboard", "", "TensorBoard event files, in a folder"),
    "mlflow": ("harness.exporters.mlflow_runs", "", "MLflow runs, in a folder"),
}
"""By name: the module, whose `export` writes; the suffix of its file, none for a folder; what it is."""


EXPORTERS: Registry[Export] = Registry(
    "exporter",
    GROUP,
    {name: f"{module}:export" for name, (module, _, _) in BUILT_IN.items()},
    lambda loaded: None if callable(loaded) else "is not a function",
)
names, broken = EXPORTERS.names, EXPORTERS.broken


def suffix(name: str) -> str:
    """Return what a file of this format ends in; nothing for a folder and for another package's format."""
    return BUILT_IN[name][1] if name in BUILT_IN else ""


def get(name: str) -> Export:
    """Return the function that writes a format.

    Raises:
        ValueError: no such format, with the nearest name; or its package disabled itself.
    """
    try:
        return EXPORTERS.get(name)
    except KeyError:
        if name in broken():
            raise UsageError(f"--to {name}: it disabled itself: {broken()[name]}") from None
        raise UsageError(f"--to {name}: no such format{nearest(name, names())}") from None
