"""Every format, read back by the tool it is for, or checked against its documented shape."""

from __future__ import annotations

import csv
import json
import math
import re
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from harness.exporters import registry
from harness.exporters.common import plain_text
from harness.exporters.exposition import Family, render
from harness.exporters.pytest_benchmark import statistics as benchmark_statistics
from harness.records.results import TrialResult

GOOD = "gpt tiny train"
Results = list[TrialResult]


def _export(name: str, results: Results, path: Path) -> list[Path]:
    return registry.get(name)(results, path)


def _json(name: str, results: Results, folder: Path):
    (path,) = _export(name, results, folder / "out.json")
    return json.loads(path.read_text())


def test_junit_counts_what_failed_and_escapes_what_xml_cannot_hold(results: Results, tmp_path: Path) -> None:
    """A suite holds a case a trial: one passes, one is invalid, one out of memory, one skipped."""
    (path,) = _export("junit", results, tmp_path / "out.xml")
    root = ET.parse(path).getroot()
    assert root.tag == "testsuites"
    (suite,) = root
    counts = {k: suite.get(k) for k in ("name", "tests", "failures", "errors", "skipped")}
    assert counts == {"name": "night", "tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    cases = {case.get("name"): case for case in suite}
    assert cases[GOOD].find("properties/property[@name='iteration.mean']").get("value").endswith(" s")
    assert cases["gpt large train"].find("error").get("message") == "build: out of memory"
    assert cases["gpt large train"].find("error").text == "a\N{REPLACEMENT CHARACTER}b"
    assert cases["bert tiny train"].find("skipped").get("message") == "tf32 needs CUDA"
    assert all(float(case.get("time")) >= 0 and case.get("classname") for case in suite)


_JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name", "classname", "time"},
        {"properties", "skipped", "error", "failure", "system-out", "system-err"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "error": ({"type", "message"}, set()),
    "failure": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
}
"""By element, attributes and children that readers of JUnit XML know: the schema of Jenkins' xUnit plugin,
and the properties of a case, which pytest writes too."""


def test_junit_has_only_what_its_schema_has(results: Results, tmp_path: Path) -> None:
    """Elements, attributes, times with three decimals at most, and one outcome a case."""
    (path,) = _export("junit", results, tmp_path / "out.xml")
    for element in ET.parse(path).getroot().iter():
        attributes, children = _JUNIT[element.tag]
        assert set(element.keys()) <= attributes
        assert {child.tag for child in element} <= children
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
        if element.tag == "testcase":
            assert sum(child.tag in {"skipped", "error", "failure"} for child in element) <= 1


def test_pytest_benchmark_reads_and_compares_it(results: Results, times: list[float], tmp_path: Path) -> None:
    """Its own command prints the trial; a round is a process."""
    found = _json("pytest-benchmark", results, tmp_path)
    (only,) = found["benchmarks"]
    assert (only["name"], only["stats"]["data"]) == (GOOD, times)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest_benchmark",
            "compare",
            "out.json",
            "--columns=min,max,iqr,outliers,ops,rounds",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert GOOD[:10] in done.stdout


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_statistics_are_pytest_benchmarks_own(n: int) -> None:
    """All fields equal what pytest-benchmark makes of the same series, an outlier among them."""
    from pytest_benchmark.stats import Stats

    data = [0.01 + 0.001 * math.sin(i) for i in range(n - 1)] + [0.5]
    theirs = Stats()
    for value in data:
        theirs.update(value)
    ours = benchmark_statistics(data)
    for name, value in theirs.as_dict().items():
        assert ours[name] == (value if isinstance(value, str) else pytest.approx(value)), name


def test_bencher_has_values_and_bounds(results: Results, tmp_path: Path) -> None:
    """A measure is a number with optional bounds around it; what is missing or invalid is left out."""
    found = _json("bencher", results, tmp_path)
    assert list(found) == [GOOD]
    measure = found[GOOD]["throughput-tokens"]
    assert measure["lower_value"] < measure["value"] < measure["upper_value"]
    assert "energy-token" not in found[GOOD]
    assert all(set(m) <= {"value", "lower_value", "upper_value"} for m in found[GOOD].values())


def test_github_action_benchmark_has_a_file_for_each_direction(results: Results, tmp_path: Path) -> None:
    """Throughput is in the one, time in the other; entries have the documented fields as their types."""
    bigger, smaller = _export("github-action-benchmark", results, tmp_path / "out.json")
    assert (bigger.name, smaller.name) == ("out-bigger-is-better.json", "out-smaller-is-better.json")
    entries = json.loads(bigger.read_text())
    assert [e["name"] for e in entries] == [f"{GOOD} / throughput.tokens"]
    for entry in entries + json.loads(smaller.read_text()):
        assert isinstance(entry["value"], float)
        assert {"name", "unit", "value"} <= set(entry) <= {"name", "unit", "value", "range", "extra"}
        assert all(isinstance(v, str) for k, v in entry.items() if k != "value")


def test_csv_keeps_every_trial_and_no_formula(results: Results, tmp_path: Path) -> None:
    """Failed trials are rows too; a missing value is empty, never zero; a label is no formula."""
    (path,) = _export("csv", results, tmp_path / "out.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_metric = {(r["label"], r["metric_id"]): r for r in rows}
    assert by_metric[GOOD, "energy.token"]["value"] == ""
    assert by_metric[GOOD, "energy.token"]["reasons"] == "no sensor"
    assert by_metric["gpt large train", ""]["status"] == "oom"
    assert not any(cell.startswith("=") for row in rows for cell in row.values())


def test_parquet_holds_the_same_rows_typed(results: Results, tmp_path: Path) -> None:
    """DuckDB reads numbers as numbers and missing ones as null."""
    import duckdb

    (path,) = _export("parquet", results, tmp_path / "it's.parquet")
    name = str(path).replace("'", "''")
    rows = duckdb.sql(f"SELECT metric_id, value FROM '{name}' WHERE label = '{GOOD}'").fetchall()
    assert dict(rows)["energy.token"] is None
    assert dict(rows)["memory.peak_rss"] == 2.0**30
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_markdown_shows_intervals_and_failures(results: Results, tmp_path: Path) -> None:
    """Numbers come with their intervals; an odd label cannot break the table."""
    (path,) = _export("markdown", results, tmp_path / "out.md")
    text = path.read_text()
    assert "2 measured, 1 failed, 1 refused." in text
    assert "tokens/s (" in text
    assert "out of memory" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") in {5, 6} for line in rows)


def test_mlperf_system_has_its_names_and_leaves_unknown_ones_empty(results: Results, tmp_path: Path) -> None:
    """Facts stand under MLPerf's names; nothing is guessed."""
    found = _json("mlperf-system", results, tmp_path)
    assert found["accelerator_model_name"] == "Example A1"
    assert found["accelerator_memory_capacity"] == "80 GiB"
    assert found["system_name"] == "2x Example A1"
    assert found["cooling"] == ""
    assert found["framework"] == "PyTorch 2.13.0"


@pytest.mark.parametrize("name", ["prometheus", "openmetrics"])
def test_the_prometheus_client_reads_the_text_formats(name: str, results: Results, tmp_path: Path) -> None:
    """Its parsers find the value under a name that carries the unit, and the odd label but for its escape."""
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as openmetrics

    (path,) = _export(name, results, tmp_path / "out.prom")
    read = parser if name == "prometheus" else openmetrics
    families = {f.name: f for f in read.text_string_to_metric_families(path.read_text())}
    (sample,) = families["joulemark_throughput_tokens_per_second"].samples
    assert sample.labels["trial"] == GOOD
    assert sample.value == pytest.approx(statistics.geometric_mean(64 / t for t in (0.010, 0.011, 0.0105)))
    odd = next(r.label for r in results if r.label.startswith("="))
    assert plain_text(odd) in {s.labels["trial"] for s in families["joulemark_trial_failed"].samples}
    assert {f.type for f in families.values()} == {"gauge"}


def test_a_label_stays_on_its_line() -> None:
    """Whatever ends a line for some reader, or steers a terminal, in a text that is otherwise escaped."""
    family = Family("f", "h", [({"trial": 'a"\\\n\r\x1b[2J\x85b'}, 1.0)])
    assert render([family]).splitlines()[2] == 'f{trial="a\\"\\\\\\n \ufffd[2J\ufffdb"} 1.0'


def test_tensorboard_reads_scalars_and_series(results: Results, tmp_path: Path) -> None:
    """Its event reader finds the metric at step 0 and the losses step by step."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = _export("tensorboard", results, tmp_path)
    events = EventAccumulator(str(next(f for f in folders if f.name == f"night {GOOD}")))
    events.Reload()
    values = {
        tag: [event.tensor_proto.float_val[0] for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }
    assert values["loss.last"] == [5.0]
    assert values["series/r0/loss"] == [5.5, 5.25, 5.0]


def test_mlflow_finds_runs_with_metrics_and_states(results: Results, tmp_path: Path) -> None:
    """Its client finds a run a trial; the failed one says so."""
    mlflow = pytest.importorskip("mlflow", reason="the extra `track` is not installed")
    (database,) = _export("mlflow", results, tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("night")
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert runs[GOOD].data.metrics["memory.peak_rss"] == 2.0**30
    assert runs[GOOD].data.params["workload.name"] == "gpt"
    assert runs["gpt large train"].info.status == "FAILED"


@pytest.mark.parametrize("name", [n for n in registry.BUILT_IN if n not in {"tensorboard", "mlflow"}])
def test_no_results_are_no_error(name: str, tmp_path: Path) -> None:
    """An empty sweep gives a readable file without entries, or no file."""
    for path in _export(name, [], tmp_path / "out"):
        assert path.exists()


def test_a_format_that_is_not_there_names_the_nearest() -> None:
    """A typing error is answered with what was meant."""
    with pytest.raises(ValueError, match=r"--to parket: no such format; did you mean parquet\?"):
        registry.get("parket")


def test_a_plugin_that_fails_to_import_disables_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others work; asking for it says why it does not."""

    def load() -> None:
        raise ImportError("no such thing")

    point = SimpleNamespace(name="mine", value="mine:export", load=load)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    registry.EXPORTERS.__dict__.pop("_plugins", None)
    try:
        assert "mine:export: ImportError" in registry.broken()["mine"]
        with pytest.raises(ValueError, match="--to mine: it disabled itself"):
            registry.get("mine")
        assert registry.get("csv")
    finally:
        registry.EXPORTERS.__dict__.pop("_plugins", None)
