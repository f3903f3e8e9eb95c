"""`accept` judges what follows from what was measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from standins import honest

from harness.bundles.archive import write_bundle
from harness.cli import main
from harness.records.store import open_store


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """Return a contract that any machine keeps."""
    path = tmp_path / "contract.yaml"
    term = {"label": "bf16", "metric": "iteration.mean", "threshold": "1 h"}
    path.write_text(json.dumps({"terms": [term]}))
    return path


def test_a_bundle_that_contradicts_itself_is_not_judged(
    tmp_path: Path, contract: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who makes a bundle makes its hashes too: the numbers are made again first."""
    store = open_store(tmp_path / "results")
    records = honest.write_sweep(store, honest.plan())
    write_bundle(store, ["demo"], tmp_path / "demo.tar")
    assert main(["accept", str(contract), str(tmp_path / "demo.tar")]) != 2, capsys.readouterr().err

    def better(told: dict[str, object]) -> None:
        for metric in told["metrics"]:  # type: ignore[attr-defined]
            if metric["id"] == "iteration.mean":
                metric["value"] /= 10

    honest.edit(honest.path_of(store, records[0]), better)
    write_bundle(store, ["demo"], tmp_path / "demo.tar")
    assert main(["accept", str(contract), str(tmp_path / "demo.tar")]) == 2
    assert "demo.tar: inconsistent: " in capsys.readouterr().err
