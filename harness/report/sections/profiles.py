"""Where the time of each profiled trial went: shares of the span, waiting, and the longest operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.numbers import quantity
from harness.report.document import Cell, Column, Row, Table
from harness.report.sections.tables import NONE, name_cells, name_columns, without_empty
from harness.report.text import line, number
from harness.report.trials import Trial

MOST_OPERATORS = 3
_SHARES = {
    "busy_share": "Busy",
    "copy_share": "Copies",
    "communication_share": "Communication",
    "exposed_communication_share": "Of it exposed",
}


def profile_table(ok: Sequence[Trial]) -> Table | None:
    """Return a row for each profiled trial; None where none was profiled."""
    found = [(t, p) for t in ok if (p := _profile(t)) is not None]
    if not found:
        return None
    where = any(t.where for t, _ in found)
    columns = (
        *name_columns(where=where),
        *(Column(title, numeric=True) for title in _SHARES.values()),
        Column("Median wait", numeric=True),
        Column("Longest operators, with their modules", wide=True),
    )
    rows = tuple(
        Row((*name_cells(t, where=where), *_cells(profile)), t.workload, first=True) for t, profile in found
    )
    note = (
        "Shares are of the time of a few steps, profiled after the measurement and apart from it. A wait is "
        "time in which the device had no work; on the CPU, in which no operator ran. A share that is 0 in "
        "all trials has no column."
    )
    return without_empty(Table("profile-table", "Profiles", columns, rows, note))


def _profile(trial: Trial) -> Mapping[str, Any] | None:
    for record in trial.result.records:
        found = record.evidence.get("profile")
        if (
            record.status == "ok"
            and isinstance(found, Mapping)
            and number(found.get("busy_share")) is not None
        ):
            return found
    return None


def _cells(profile: Mapping[str, Any]) -> tuple[Cell, ...]:
    shares = tuple(_share(number(profile.get(key))) for key in _SHARES)
    wait = number(profile.get("gap_median_ns"))
    waited = Cell(NONE) if wait is None else Cell(quantity(wait * 1e-9, "s").text, order=wait)
    return (*shares, waited, Cell("; ".join(_operators(profile)) or NONE))


def _share(value: float | None) -> Cell:
    return Cell(NONE) if value is None else Cell(quantity(100 * value, "%").text, order=value)


def _operators(profile: Mapping[str, Any]) -> list[str]:
    found = profile.get("operators")
    texts = []
    for operator in found[:MOST_OPERATORS] if isinstance(found, list | tuple) else []:
        if not isinstance(operator, Mapping) or (share := number(operator.get("share"))) is None:
            continue
        module = line(operator.get("module") or "", 40)
        name = line(operator.get("name") or NONE, 60) + (f" in {module}" if module else "")
        texts.append(f"{name} {quantity(100 * share, '%').text}")
    return texts
