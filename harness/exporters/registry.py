"""Find exporters by name: our own files, and other packages' by the entry point `joulemark.exporters`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from harness.records.results import TrialResult

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


@cache
def _plugins() -> tuple[dict[str, Export], dict[str, str]]:
    from importlib.metadata import entry_points

    found: dict[str, Export] = {}
    broken: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
        except Exception as error:  # noqa: BLE001 - another package's import may fail in any way
            broken[point.name] = f"{point.value}: {type(error).__name__}: {error}"
            continue
        if not callable(loaded):
            broken[point.name] = f"{point.value} is not a function"
        elif point.name in BUILT_IN:
            broken[point.name] = f"{point.value} takes the name of a built-in exporter"
        else:
            found[point.name] = loaded
    return found, broken


def names() -> list[str]:
    """Return the names of all formats, built-in first."""
    return [*BUILT_IN, *_plugins()[0]]


def broken() -> dict[str, str]:
    """Return the plugins that disabled themselves, with the reason, for `joulemark doctor`."""
    return _plugins()[1]


def suffix(name: str) -> str:
    """Return what a file of this format ends in; nothing for a folder and for another package's format."""
    return BUILT_IN[name][1] if name in BUILT_IN else ""


def get(name: str) -> Export:
    """Return the function that writes a format.

    Raises:
        ValueError: no such format, with the nearest name; or its package disabled itself.
    """
    if name in BUILT_IN:
        found: Export = importlib.import_module(BUILT_IN[name][0]).export
        return found
    plugins, wrong = _plugins()
    if name in plugins:
        return plugins[name]
    if name in wrong:
        raise ValueError(f"--to {name}: it disabled itself: {wrong[name]}")
    near = difflib.get_close_matches(name, names(), n=1)
    raise ValueError(
        f"--to {name}: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}")
    )
