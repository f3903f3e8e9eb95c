"""A worker imports nothing from the folder that it happens to start in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.isolation import workers
from workloads.user import source

PLANTED = ("random", "queue", "numpy", "selectors", "socket", "json")


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start in a folder that holds modules called like those of Python; each leaves a mark where it runs."""
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_server_runs_none_of_what_lies_where_it_starts(planted: Path) -> None:
    """It starts, finds its socket closed, and leaves; the modules beside it are never looked at."""
    with workers.Workers() as started:
        server = started._start("auto")
        server.close()
    assert not (planted / "ran").exists()


def test_the_modules_that_were_planted_would_run_without_it(planted: Path) -> None:
    """The test above tests something: plain Python takes them."""
    subprocess.run([sys.executable, "-c", "import random"], cwd=planted, check=False)
    assert (planted / "ran").exists()


def test_the_users_own_folder_is_named(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the configuration names is imported from it, and both sides call the variable the same."""
    assert workers.IMPORT_FROM == source.IMPORT_FROM
    monkeypatch.delenv(source.IMPORT_FROM, raising=False)
    assert workers.Workers()._own_folder() == {source.IMPORT_FROM: str(planted)}
    assert workers.Workers(environment={})._own_folder() == {}
    monkeypatch.setenv(source.IMPORT_FROM, "/somewhere")
    assert source.import_path()[0] == "/somewhere"
