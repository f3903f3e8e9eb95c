"""Which rates keep the limits: every rate of an open loop with all its runs, whatever their seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness.report.document import Cell, Column, Row, Table
from harness.report.sections.plots import drawable
from harness.report.sections.tables import NONE
from harness.report.text import line, percent
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


Rates = Mapping[float, Sequence[Trial]]
"""Of one search, by the requests/s that were offered, the runs."""


def searches(served: Sequence[Trial]) -> list[Rates]:
    """Gather open loops that differ in their rate and seed alone, where two rates or more have limits."""
    found = defaultdict[str, dict[float, list[Trial]]](lambda: defaultdict(list))
    for trial in served:
        rate = fact(trial.result.config, "serve", "rate_per_s")
        if isinstance(rate, int | float) and drawable(trial, SHARE) is not None:
            found[_key(trial)][float(rate)].append(trial)
    return [rates for rates in found.values() if len(rates) >= LEAST]


def apart(members: Sequence[Trial]) -> tuple[list[Rates], list[Trial]]:
    """Return the searches among trials, and the trials that are in none."""
    found = searches(members)
    searched = {id(t) for rates in found for runs in rates.values() for t in runs}
    return found, [t for t in members if id(t) not in searched]


def best_run(rates: Rates) -> Trial:
    """Return a run at the highest rate that meets the limits, at the lowest where none is known to."""
    best, _ = outcome(rates)
    return rates[min(rates) if best is None else best][0]


def outcome(rates: Rates) -> tuple[float | None, str]:
    """Return the highest rate that meets the limits, None where none is known to, and what that says."""
    judged = {rate: _meets(rates[rate]) for rate in sorted(rates)}
    if None in judged.values():
        return None, "what share of requests is to keep the limits is not known"
    met = [rate for rate, good in judged.items() if good]
    if not met:
        return None, f"no rate down to {min(judged):.4g} requests/s keeps the limits"
    best = met[-1]
    above = next((rate for rate in judged if rate > best), None)
    if above is None:
        return best, f"{best:.4g} requests/s keep the limits, and so may more"
    return best, f"{best:.4g} requests/s is the highest rate that keeps the limits, {above:.4g} misses them"


def goodput_table(served: Sequence[Trial]) -> Table | None:
    """Tabulate each search; None where there is none."""
    rows = [
        _row(rate, rates[rate], first=i == 0)
        for rates in searches(served)
        for i, rate in enumerate(sorted(rates))
    ]
    return Table("goodput-table", "Limits by rate", _COLUMNS, tuple(rows), _NOTE) if rows else None


def _row(rate: float, runs: Sequence[Trial], *, first: bool) -> Row:
    config = runs[0].result.config
    shares = _shares(runs)
    replicas = [record for run in runs for record in run.result.replicas()]
    behind = sum(record.evidence.get("saturated") is True for record in replicas)
    mean, wanted = sum(shares) / len(shares), fact(config, "serve", "good_share")
    known, met = isinstance(wanted, int | float), _meets(runs)
    cells = (
        Cell(runs[0].workload),
        Cell(line(fact(config, "serve", "arrivals") or NONE, 40)),
        Cell(f"{rate:.4g}", order=rate),
        Cell(str(len(replicas)), order=len(replicas)),
        Cell(percent(mean), f"{percent(min(shares))} to {percent(max(shares))}", order=mean),
        Cell(percent(wanted) if known else NONE),
        Cell(f"{behind} of {len(replicas)}", order=behind),
        Cell(NONE if met is None else "met" if met else "missed"),
    )
    return Row(cells, runs[0].workload, first=first)


def _shares(runs: Sequence[Trial]) -> list[float]:
    return [e.value for run in runs if (e := drawable(run, SHARE)) is not None and e.value is not None]


def _meets(runs: Sequence[Trial]) -> bool | None:
    """Say whether the runs' mean share is what was wanted; None where that is not known."""
    shares, wanted = _shares(runs), fact(runs[0].result.config, "serve", "good_share")
    return sum(shares) / len(shares) >= wanted if isinstance(wanted, int | float) else None


def _key(trial: Trial) -> str:
    """Return what runs of one search have in common."""
    config = trial.result.config
    serve = fact(config, "serve")
    load = {k: v for k, v in serve.items() if k != "rate_per_s"} if isinstance(serve, dict) else {}
    parts = [config.get(name) for name in _APART]
    return json.dumps([trial.machine, load, parts], sort_keys=True, default=str)
