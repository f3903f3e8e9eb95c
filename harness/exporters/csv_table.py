"""CSV: a row a metric of every trial, also of what failed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from harness.exporters.common import COLUMNS, rows
from harness.records.results import TrialResult
from harness.system.files import write_atomically

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""As spreadsheets read them, the wide forms too."""


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file; a missing value is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in rows(results):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return [write_atomically(path, text.getvalue())]


def _cell(value: object) -> object:
    """Keep a spreadsheet from reading a label or a reason as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
