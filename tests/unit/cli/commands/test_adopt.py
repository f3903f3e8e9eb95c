"""`status` shows what was merged and counts none; `adopt` makes it count, unless it contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins import honest

from harness.cli import main
from harness.identity.fingerprint import code_id, machine_id
from harness.identity.machine import Identity
from harness.records.journal import Journal
from harness.records.schema import Record
from harness.records.store import Store, open_store


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, list[Record]]:
    """Return results that somebody else's journal has, on this machine."""
    here = Identity(honest.MACHINE, honest.CODE, machine_id(honest.MACHINE), code_id(honest.CODE))
    monkeypatch.setattr("harness.cli.commands.adopt.identify", lambda: here)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    store = open_store(tmp_path / "results", Journal(tmp_path / "other"))
    return store, honest.write_sweep(store, honest.plan())


def test_what_is_adopted_counts_from_then_on(
    copied: tuple[Store, list[Record]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before, it is shown with its result and the way out; after, the sweep is done."""
    results = ["--results", str(copied[0].root)]
    assert main(["status", "demo", *results]) == 1
    said = capsys.readouterr().out
    assert "2 merged" in said
    assert "6 records under this machine's id" in said
    assert "joulemark adopt demo" in said
    assert main(["adopt", "demo", *results]) == 0
    assert "6 records adopted" in capsys.readouterr().out
    assert main(["status", "demo", *results]) == 0
    assert "2 done" in capsys.readouterr().out
    assert main(["adopt", "demo", *results]) == 0
    assert "0 records adopted" in capsys.readouterr().out


def test_what_contradicts_itself_is_not_adopted(
    copied: tuple[Store, list[Record]], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names it, and nothing counts."""
    store, records = copied
    honest.edit(honest.path_of(store, records[0]), lambda r: r["metrics"][0].update(value=1e9))
    results = ["--results", str(store.root)]
    assert main(["adopt", "demo", *results]) == 2
    assert "inconsistent: demo/" in capsys.readouterr().err
    assert main(["status", "demo", *results]) == 1
    assert "6 records under" in capsys.readouterr().out
