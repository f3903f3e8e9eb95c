"""`joulemark export`: files, exit codes, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.records.results import TrialResult
from harness.records.store import open_store


def test_torn_records_are_told_beside_the_json(
    results: list[TrialResult], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The files are on standard output alone; the rest of the sweep is exported."""
    store = open_store(tmp_path / "results")
    paths = [store.write(record) for result in results for record in result.records]
    paths[0].write_text("{")
    out = tmp_path / "out.csv"
    arguments = ["export", "night", "--to", "csv", "-o", str(out), "--json", "--results", str(store.root)]
    assert cli.main(arguments) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"files": [str(out)]}
    assert f"left out {paths[0]}" in told.err
    assert "gpt tiny train" in out.read_text()


def test_a_sweep_that_is_not_there_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """One line says which there are."""
    assert cli.main(["export", "gone", "--to", "csv", "--results", str(tmp_path)]) == 2
    assert "no records of a sweep gone; no sweep has been run yet" in capsys.readouterr().err
