"""What balancing buys: several servers or engines behind a policy beside one under the same load."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.document import Block, Cell, Column, Row, Table
from harness.report.sections.plots import drawable, plots
from harness.report.sections.tables import NONE, metric_cell, name_cells, name_columns
from harness.report.text import line, percent
from harness.report.trials import Trial, fact

ALL, FIRST = "throughput.tokens", "latency.ttft.p90"
_METRICS = {ALL: "Throughput", FIRST: "TTFT p90", "requests.failed": "Without answer"}
_SAME = (
    *(("workload", key) for key in ("model", "top_k", "temperature")),
    *((section, "name") for section in ("precision", "optimize", "compress")),
    ("device", "threads"),
    *(("serve", key) for key in ("arrivals", "concurrency", "rate_per_s", "burstiness", "trace_sha256")),
    *(("serve", key) for key in ("lengths", "prompt_tokens", "output_tokens", "sigma")),
    *(("serve", key) for key in ("batching", "slots", "cache_gib", "chunk", "queue")),
)
"""What trials of one and of several have in common."""
MOST_SERVERS = 8
"""Whose shares a cell shows."""
_NOTE = (
    "Over one: the ratio to the trial of one server or engine under the same load; more is better for "
    "throughput, less for the time to first token. Requests: the share of each, servers in the order of "
    "workload.url, over all replicas. The balancer does not look whether a server is well. Engines share the "
    "processor's threads and the weights; each has rows, a cache and a queue of its own."
)


def servers(trial: Trial) -> int:
    """Return how many servers or engines answered a trial."""
    url = fact(trial.result.config, "workload", "url")
    if isinstance(url, list | tuple):
        return len(url)
    engines = fact(trial.result.config, "serve", "engines")
    return engines if isinstance(engines, int) and url is None else 1


def balancing(served: Sequence[Trial]) -> list[Block]:
    """Tabulate and draw trials of several servers beside those of one; nothing where there are none."""
    several = [trial for trial in served if servers(trial) > 1]
    if not several:
        return []
    where = any(trial.where for trial in several)
    ones = {_key(trial): trial for trial in served if servers(trial) == 1}
    rows, drawn = list[Row](), dict[str, Trial]()
    for i, trial in enumerate(sorted(several, key=lambda trial: (_key(trial), servers(trial)))):
        one = ones.get(_key(trial))
        rows.append(_row(trial, one, where=where, first=i == 0))
        drawn |= {t.result.trial_id: t for t in (one, trial) if t is not None}
    columns = (
        *name_columns(where=where),
        Column("Servers", numeric=True),
        Column("Policy"),
        Column("Requests"),
        *(Column(title, numeric=True) for title in _METRICS.values()),
        Column("Throughput over one", numeric=True),
        Column("TTFT p90 over one", numeric=True),
    )
    found: list[Block] = [Table("balancing-table", "What balancing buys", columns, tuple(rows), _NOTE)]
    members = list(drawn.values())
    found += plots("balancing-all", "Throughput of all servers", {ALL: "Throughput"}, members)
    found += plots("balancing-first", "Time to first token, p90", {FIRST: "TTFT p90"}, members)
    return found


def _row(trial: Trial, one: Trial | None, *, where: bool, first: bool) -> Row:
    cells = (
        *name_cells(trial, where=where),
        Cell(str(servers(trial)), order=servers(trial)),
        Cell(line(fact(trial.result.config, "serve", "balance") or NONE, 40)),
        Cell(_shares(trial)),
        *(metric_cell(trial.result.estimates.get(metric)) for metric in _METRICS),
        *(_over(trial, one, metric) for metric in (ALL, FIRST)),
    )
    return Row(cells, trial.workload, first=first)


def _key(trial: Trial) -> tuple[str, ...]:
    """Return what two trials have in common that differ in their servers or engines alone."""
    same = (str(fact(trial.result.config, *names)) for names in _SAME)
    return trial.workload, trial.machine, *same


def _over(trial: Trial, one: Trial | None, metric: str) -> Cell:
    mine = drawable(trial, metric)
    theirs = None if one is None else drawable(one, metric)
    if mine is None or theirs is None or not mine.value or not theirs.value:
        return Cell(NONE)
    ratio = mine.value / theirs.value
    return Cell(f"{ratio:.2f}", order=ratio)


def _shares(trial: Trial) -> str:
    counts = [0] * min(servers(trial), MOST_SERVERS)
    for record in trial.result.replicas():
        told = fact(record.evidence, "balance", "servers")
        for place, one in enumerate(told[: len(counts)] if isinstance(told, list) else ()):
            requests = fact(one, "requests")
            counts[place] += requests if isinstance(requests, int) else 0
    total = sum(counts)
    return ", ".join(percent(count / total) for count in counts) if total else NONE
