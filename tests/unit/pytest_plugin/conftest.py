"""Inner runs of pytest that wait for nobody."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the locks of devices apart from those of whatever else measures on this machine."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("locks")))


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep it from the inner runs that a worker of pytest-xdist may run their test."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
