"""What more ranks bring: throughput of N ranks over N times that of one (docs/parallel.md)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.numbers import quantity
from harness.report.document import Cell, Column, Row, Section, Table
from harness.report.sections.tables import NONE, metric_cell, name_cells, name_columns
from harness.report.trials import Trial, fact, groups, headline

_WORK = ("seed", "workload", "compress", "precision", "optimize", "measure")
_NOTE = (
    "Efficiency is the throughput of N ranks over N times that of one rank of the same strategy, batch and "
    "settings: strong scaling shares that batch, weak scaling gives each share as much. Its interval comes "
    "from the replicas of both."
)


def scaling_section(ok: Sequence[Trial]) -> Section:
    """Tabulate every trial of several ranks that one rank of the same was measured beside."""
    where = any(t.where for t in ok)
    rows: list[Row] = []
    for members in groups(ok).values():
        metric = headline(members)
        for family in _families(members, metric):
            alone = next((t for t in family if _ranks(t) == 1), None)
            if alone is not None and len(family) > 1:
                rows += [
                    _row(t, alone, metric, where=where, first=i == 0)
                    for i, t in enumerate(sorted(family, key=_ranks))
                ]
    columns = (
        *name_columns(where=where),
        Column("Scaling"),
        Column("Ranks", numeric=True),
        Column("Throughput", numeric=True),
        Column("Efficiency", numeric=True),
    )
    table = Table("scaling-table", "Scaling over ranks", columns, tuple(rows), _NOTE)
    return Section("scaling", "Scaling", (table,) if rows else ())


def efficiency(
    one: Sequence[float], several: Sequence[float], ranks: int
) -> tuple[float, float | None, float | None]:
    """Return throughput(N) / (N · throughput(1)) of the replicas' geometric means, and its 95 % interval.

    There is no interval where either side has a single replica.

    Raises:
        StatsError: a side has no value, or one that is not positive.
    """
    from harness.stats import compare_unpaired  # numpy, which importing the report does not need

    found = compare_unpaired(one, several, direction="higher")
    low = None if found.low is None else (1 + found.low) / ranks
    high = None if found.high is None else (1 + found.high) / ranks
    return (1 + found.effect) / ranks, low, high


def _row(trial: Trial, alone: Trial, metric: str, *, where: bool, first: bool) -> Row:
    ranks = _ranks(trial)
    if trial is alone:
        shown = Cell(NONE)
    else:
        value, low, high = efficiency(alone.result.values(metric), trial.result.values(metric), ranks)
        percent = quantity(100 * value, "%", *(None if end is None else 100 * end for end in (low, high)))
        shown = Cell(percent.text, percent.interval, order=value)
    cells = (
        *name_cells(trial, where=where),
        Cell(str(fact(trial.result.config, "parallel", "scaling") or NONE)),
        Cell(str(ranks), order=float(ranks)),
        metric_cell(trial.result.estimates.get(metric)),
        shown,
    )
    return Row(cells, trial.workload, first=first)


def _families(members: Sequence[Trial], metric: str) -> list[list[Trial]]:
    """Gather trials that differ in nothing but their number of ranks."""
    found: dict[str, list[Trial]] = defaultdict(list)
    for t in members:
        parallel = fact(t.result.config, "parallel")
        if isinstance(parallel, Mapping) and parallel.get("name") != "none" and _known(t, metric):
            found[_same(t, parallel)].append(t)
    return list(found.values())


def _same(trial: Trial, parallel: Mapping[str, Any]) -> str:
    config, r = trial.result.config, trial.result
    device = {k: v for k, v in (fact(config, "device") or {}).items() if k != "index"}
    rest = {k: v for k, v in parallel.items() if k != "ranks"}
    return json.dumps(
        [r.machine_id, r.code_id, r.sweep, rest, device, *(config.get(k) for k in _WORK)], sort_keys=True
    )


def _ranks(trial: Trial) -> int:
    ranks = fact(trial.result.config, "parallel", "ranks")
    return ranks if isinstance(ranks, int) and ranks > 0 else 1


def _known(trial: Trial, metric: str) -> bool:
    e = trial.result.estimates.get(metric)
    values = trial.result.values(metric)
    return e is not None and e.validity != "invalid" and bool(values) and min(values) > 0
