"""What several formats need: rows of metrics, unique names, and files written whole or not at all."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.records.results import CONFIG_COLUMNS, Estimate, TrialResult, config_columns
from harness.system.files import write_atomically

COLUMNS = {
    **dict.fromkeys(("sweep", "label", "work_id", "trial_id", "machine_id", "code_id"), "VARCHAR"),
    **dict.fromkeys(CONFIG_COLUMNS, "VARCHAR"),
    **dict.fromkeys(("status", "phase", "reason"), "VARCHAR"),
    "replicas_ok": "INTEGER",
    "merged": "BOOLEAN",
    **dict.fromkeys(("metric_id", "title", "unit", "direction", "estimator", "provenance"), "VARCHAR"),
    **dict.fromkeys(("value", "low", "high", "level"), "DOUBLE"),
    "n": "INTEGER",
    "validity": "VARCHAR",
    "reasons": "VARCHAR",
}
"""The columns of a flat table, with DuckDB's types."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def rows(results: Sequence[TrialResult]) -> Iterator[dict[str, Any]]:
    """Yield a row a metric of every trial, and one without a metric for a trial that has none."""
    for result in results:
        common: dict[str, Any] = {name: getattr(result, name, None) for name in COLUMNS}
        common |= config_columns(result.config)
        common["reasons"] = ""
        if not result.estimates:
            yield common
        for e in result.estimates.values():
            yield (
                common
                | {name: getattr(e, name) for name in COLUMNS if hasattr(e, name)}
                | {
                    "reasons": "; ".join(e.reasons),
                    "reason": result.reason,
                }
            )


def names(results: Sequence[TrialResult]) -> list[str]:
    """Return a name for each trial: its label, with its identities where the label alone is not unique."""
    labels = Counter(r.label for r in results)
    return [
        r.label
        if labels[r.label] == 1
        else f"{r.label} [{r.sweep} {r.trial_id[:8]} {r.machine_id[:8]} {r.code_id[:8]}"
        f"{' merged' if r.merged else ''}]"
        for r in results
    ]


def usable(result: TrialResult) -> Iterator[Estimate]:
    """Yield the metrics that may be shown as results: they have a value and no rule voids them."""
    for estimate in result.estimates.values():
        if estimate.value is not None and estimate.validity in {"valid", "flagged"}:
            yield estimate


def plain_text(text: str) -> str:
    """Return text without characters that XML and terminals cannot take."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def started_at(results: Sequence[TrialResult]) -> str:
    """Return when the newest record was begun; the same results always give the same file."""
    return max((record.started_at for r in results for record in r.records), default="1970-01-01T00:00:00Z")


def write_json(path: Path, value: Any) -> Path:
    """Write JSON that every reader accepts: no NaN."""
    return write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def beside(path: Path, word: str) -> Path:
    """Return the path of a second file: `out.json` becomes `out-WORD.json`."""
    return path.with_name(f"{path.stem}-{word}{path.suffix}")
