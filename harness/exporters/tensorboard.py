"""TensorBoard event files: a run a trial, its metrics as scalars, its short series step by step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.exporters.common import names, usable
from harness.records.results import TrialResult
from harness.system.errors import UsageError

_BAD = re.compile(r"[^A-Za-z0-9._+ -]")


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write a folder of runs; scalars stand at step 0, series of replica i below `series/rI`.

    Raises:
        ValueError: TensorBoard is not installed.
    """
    try:
        from tensorboard.summary import Writer
    except ImportError as error:
        raise UsageError("--to tensorboard needs `pip install 'joulemark[track]'`") from error
    folders = []
    for result, name in zip(results, names(results), strict=True):
        folder = path / _BAD.sub("_", f"{result.sweep} {name}")
        writer = Writer(str(folder))
        for e in usable(result):
            for tag, value in (
                (e.metric_id, e.value),
                (f"{e.metric_id}/low", e.low),
                (f"{e.metric_id}/high", e.high),
            ):
                if value is not None:
                    writer.add_scalar(tag, value, 0)
        for record in result.records:
            if record.status == "ok":
                for series, values in record.series.items():
                    for step, value in enumerate(values):
                        writer.add_scalar(f"series/r{record.replica}/{series}", value, step)
        writer.close()
        folders.append(folder)
    return folders
