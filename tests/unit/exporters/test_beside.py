"""Imported numbers beside ours: where kind and unit agree, labelled, and without a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.records.store import open_store

THEIRS = {
    "benchmarks": [{"fullname": "t.py::a", "stats": {"mean": 0.25, "median": 0.2, "rounds": 7}}],
}
ROWS = [
    {
        "Model": "m",
        "Scenario": "Offline",
        "System": "s",
        "Performance_Result": 9.0,
        "Performance_Units": "GB/s",
    }
]


@pytest.fixture
def folder(results, tmp_path: Path, capsys: pytest.CaptureFixture) -> Path:
    """Return a results folder with the sweep `night` and two imported files."""
    store = open_store(tmp_path / "results")
    for result in results:
        for record in result.records:
            store.write(record)
    for name, source, data in (("theirs.json", "pytest-benchmark", THEIRS), ("rows.json", "mlperf", ROWS)):
        (tmp_path / name).write_text(json.dumps(data))
        assert cli.main(["import", str(tmp_path / name), "--from", source, "--results", str(store.root)]) == 0
    capsys.readouterr()
    return store.root


@pytest.mark.parametrize("name", ["foreign/theirs.json", "foreign/pytest-benchmark"])
@pytest.mark.parametrize("first", [True, False])
def test_numbers_of_one_kind_stand_side_by_side(folder: Path, capsys, name: str, first: bool) -> None:
    """Ours has its interval and theirs none; nothing is judged, whichever side is named first: 4."""
    sides = [name, "night"] if first else ["night", name]
    assert cli.main(["compare", *sides, "--results", str(folder), "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["labels"]) == (None, ["foreign", "unverified", "no interval"])
    (one,) = told["metrics"]
    assert (one["metric"], one["unit"]) == ("iteration.mean", "s")
    assert one["foreign"] == [{"name": "t.py::a", "metric": "mean", "value": 0.25, "n": 7}]
    (ours,) = [trial for trial in one["ours"] if trial["trial"] == "gpt tiny train"]
    assert ours["low"] < ours["value"] < ours["high"]
    assert told["without_counterpart"] == 1


def test_the_table_labels_both_sides(folder: Path, capsys) -> None:
    """No effect, no ratio and no verdict is printed."""
    assert cli.main(["compare", "night", "foreign/theirs.json", "--results", str(folder)]) == 4
    out = capsys.readouterr().out
    assert "foreign, unverified" in out
    assert "ours, valid" in out
    assert "no verdict" in out
    assert not {"better", "worse", "equivalent"} & set(out.split())


def test_another_folders_import_is_named_by_its_path(folder: Path, tmp_path: Path) -> None:
    """The sweep is here, the foreign file there."""
    there = f"{folder}/foreign/theirs.json"
    assert cli.main(["compare", f"{folder}/night", there, "--results", str(tmp_path / "none")]) == 4


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (
            ["night", "foreign/nothing.json"],
            "no imported file is called 'nothing.json'; there are: foreign/mlperf-",
        ),
        (["foreign/theirs.json", "foreign/rows.json"], "both are foreign"),
        (
            ["night", "foreign/rows.json"],
            "no metric of the same kind and unit; rows.json has throughput in gb/s",
        ),
    ],
)
def test_what_cannot_be_put_beside_is_told(folder: Path, capsys, sides: list[str], said: str) -> None:
    """One line, code 2."""
    assert cli.main(["compare", *sides, "--results", str(folder)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line


def test_the_report_shows_what_was_imported_and_what_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    """The table has a row a number; a torn file is told among the omissions."""
    (folder / "foreign" / "torn.json").write_text("{")
    out = tmp_path / "report"
    arguments = ["report", "night", "--results", str(folder), "--format", "md", "-o", str(out)]
    assert cli.main(arguments) == 0
    text = (out / "report.md").read_text()
    assert "## Foreign results: unverified, without intervals" in text
    assert "| pytest-benchmark | theirs.json | t.py::a | mean | 0.25 | s | Iteration time |" in text
    assert "torn.json: the file: Invalid JSON" in text


def test_text_of_a_foreign_file_does_not_reach_the_terminal_as_commands(tmp_path: Path, capsys) -> None:
    """Escapes, reversals and markup are printed as what they are."""
    path = tmp_path / "[red]rows.json"
    path.write_text(json.dumps([ROWS[0] | {"Model": "a\x1b[31mb\u202ec\n[bold]d"}]))
    assert cli.main(["import", str(path), "--from", "mlperf", "--results", str(tmp_path / "r")]) == 0
    out = capsys.readouterr().out
    assert not {"\x1b", "\u202e"} & set(out)
    assert "s: a\ufffd[31mb\ufffdc [bold]d Offline" in out
    assert "[red]rows.json" in out
