"""Inner runs of pytest that wait for nobody."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from standins.forks import Forks


@pytest.fixture(autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the locks of devices apart from those of whatever else measures on this machine."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("locks")))


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep it from the inner runs that a worker of pytest-xdist may run their test."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture
def run_pytest(pytester: pytest.Pytester, forks: Forks) -> Callable[..., pytest.RunResult]:
    """Return what `pytester.runpytest_subprocess` does, with all that is imported already there."""

    def run(*options: str) -> pytest.RunResult:
        begin = time.monotonic()
        place = pytester.path
        done = forks.run(
            "pytest",
            [f"--basetemp={place / 'basetemp'}", *options],
            folder=place,
            environment=dict(os.environ),
            timeout_s=120,
        )
        lines = (done.stdout.splitlines(), done.stderr.splitlines())
        return pytest.RunResult(done.returncode, *lines, time.monotonic() - begin)

    return run
