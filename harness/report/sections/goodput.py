"""Which rates keep the limits: every rate of an open loop with all its runs, whatever their seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from harness.report.document import Cell, Column, Row, Table
from harness.report.sections.overview import percent
from harness.report.sections.plots import drawable
from harness.report.sections.tables import NONE
from harness.report.text import line
from harness.report.trials import Trial, fact

SHARE = "goodput.share"
LEAST = 2
"""Rates from which on they are a search."""
_APART = ("workload", "precision", "optimize", "compress", "parallel", "device")
_COLUMNS = (
    Column("Workload"),
    Column("Arrivals"),
    Column("Rate, requests/s", numeric=True),
    Column("Runs", numeric=True),
    Column("Within limits", numeric=True),
    Column("Wanted", numeric=True),
    Column("Fell behind", numeric=True),
    Column("Verdict"),
)
_NOTE = (
    "A row is a rate with all its runs, each with arrivals of its own: the mean share of requests within the "
    "limits, the lowest and highest below it. A rate meets them where the mean is at least what was wanted; "
    "`joulemark goodput` also says where the interval of the runs decides. Invalid runs are left out."
)


def goodput_table(served: Sequence[Trial]) -> Table | None:
    """Tabulate open loops that differ in their rate and seed alone; None where no two rates have limits."""
    found = defaultdict[str, dict[float, list[Trial]]](lambda: defaultdict(list))
    for trial in served:
        rate = fact(trial.result.config, "serve", "rate_per_s")
        if isinstance(rate, int | float) and drawable(trial, SHARE) is not None:
            found[_key(trial)][float(rate)].append(trial)
    searches = [rates for rates in found.values() if len(rates) >= LEAST]
    rows = [
        _row(rate, rates[rate], first=i == 0) for rates in searches for i, rate in enumerate(sorted(rates))
    ]
    return Table("goodput-table", "Limits by rate", _COLUMNS, tuple(rows), _NOTE) if rows else None


def _row(rate: float, runs: Sequence[Trial], *, first: bool) -> Row:
    config = runs[0].result.config
    shares = [e.value for run in runs if (e := drawable(run, SHARE)) is not None and e.value is not None]
    replicas = [record for run in runs for record in run.result.replicas()]
    behind = sum(record.evidence.get("saturated") is True for record in replicas)
    mean, wanted = sum(shares) / len(shares), fact(config, "serve", "good_share")
    known = isinstance(wanted, int | float)
    cells = (
        Cell(runs[0].workload),
        Cell(line(fact(config, "serve", "arrivals") or NONE, 40)),
        Cell(f"{rate:.4g}", order=rate),
        Cell(str(len(replicas)), order=len(replicas)),
        Cell(percent(mean), f"{percent(min(shares))} to {percent(max(shares))}", order=mean),
        Cell(percent(wanted) if known else NONE),
        Cell(f"{behind} of {len(replicas)}", order=behind),
        Cell(("met" if mean >= wanted else "missed") if known else NONE),
    )
    return Row(cells, runs[0].workload, first=first)


def _key(trial: Trial) -> str:
    """Return what runs of one search have in common."""
    config = trial.result.config
    serve = fact(config, "serve")
    load = {k: v for k, v in serve.items() if k != "rate_per_s"} if isinstance(serve, dict) else {}
    parts = [config.get(name) for name in _APART]
    return json.dumps([trial.machine, load, parts], sort_keys=True, default=str)
