"""github-action-benchmark: `customBiggerIsBetter` and `customSmallerIsBetter`, a file each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.exporters.common import beside, names, usable, write_json
from harness.records.results import TrialResult

_FILES = {"higher": "bigger-is-better", "lower": "smaller-is-better"}


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write `PATH-bigger-is-better` and `PATH-smaller-is-better`, without metrics that have no direction."""
    entries: dict[str, list[dict[str, str | float]]] = {direction: [] for direction in _FILES}
    for result, name in zip(results, names(results), strict=True):
        for e in usable(result):
            if e.direction in entries and e.value is not None:
                entry: dict[str, str | float] = {
                    "name": f"{name} / {e.metric_id}",
                    "unit": e.unit,
                    "value": e.value,
                    "extra": f"{e.estimator}; {e.n} processes; {e.validity}",
                }
                if e.low is not None and e.high is not None and e.level is not None:
                    entry["range"] = f"{e.low:.6g} to {e.high:.6g} ({e.level:.0%})"
                entries[e.direction].append(entry)
    return [write_json(beside(path, word), entries[direction]) for direction, word in _FILES.items()]
