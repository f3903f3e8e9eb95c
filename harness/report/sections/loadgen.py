"""What MLPerf LoadGen said of the trials that it drove, beside what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.document import Cell, Column, Row, Table
from harness.report.sections.tables import NONE, metric_cell, name_cells, name_columns
from harness.report.text import line
from harness.report.trials import Trial, fact

_METRICS = {
    "throughput.tokens": "Throughput",
    "mlperf.samples": "MLPerf samples",
    "mlperf.tokens": "MLPerf tokens",
    "mlperf.ttft": "MLPerf TTFT",
    "mlperf.tpot": "MLPerf TPOT",
    "mlperf.query": "MLPerf query",
}
_NOTE = (
    "MLPerf's own figures are those that LoadGen publishes of a scenario: completed rates, or early-stopping "
    "estimates of a quantile, which lie above the quantile itself. The harness searched the settings. These "
    "are no MLPerf submissions. Percentiles: how many of LoadGen's are ours within 1 % or 50 µs."
)


def scenario(trial: Trial) -> str | None:
    """Return the scenario of a trial under LoadGen, and None of any other."""
    found = fact(trial.result.config, "serve", "loadgen")
    return line(found, 40) if isinstance(found, str) else None


def loadgen_table(driven: Sequence[Trial]) -> Table:
    """Tabulate trials that LoadGen drove: its verdict and figures."""
    where = any(t.where for t in driven)
    columns = (
        *name_columns(where=where),
        Column("Scenario"),
        Column("Verdict"),
        *(Column(title, numeric=True) for title in _METRICS.values()),
        Column("Percentiles"),
    )
    rows = [
        Row(
            (
                *name_cells(trial, where=where),
                Cell(scenario(trial) or NONE),
                Cell(_verdict(trial)),
                *(metric_cell(trial.result.estimates.get(metric)) for metric in _METRICS),
                Cell(_agreement(trial)),
            ),
            trial.workload,
            first=i == 0,
        )
        for i, trial in enumerate(driven)
    ]
    return Table("loadgen-table", "MLPerf LoadGen", columns, tuple(rows), _NOTE)


def _verdict(trial: Trial) -> str:
    told = [fact(r.evidence, "loadgen", "valid") for r in trial.result.replicas()]
    good = sum(valid is True for valid in told)
    return "valid" if told and good == len(told) else f"valid {good} of {len(told)}"


def _agreement(trial: Trial) -> str:
    found = [fact(r.evidence, "loadgen") for r in trial.result.replicas()]
    pairs = [fact(one, "percentiles_s") for one in found]
    apart = [fact(one, "disagree") for one in found]
    total = sum(len(one) for one in pairs if isinstance(one, dict))
    wrong = sum(len(one) for one in apart if isinstance(one, list))
    return f"{total - wrong} of {total}" if total else NONE
