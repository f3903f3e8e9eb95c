"""What all tests share: a journal of their own, what takes a compiler, a collector with less to look at."""

from __future__ import annotations

import fcntl
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standins.forks import Forks

LONGEST = ("test_every_joulemark_command_of_the_readme_runs", "test_every_step_stays_on_the_device")
"""Near a minute each: begun among the last, one would leave the other workers idle beside it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest; all others keep their order."""
    items.sort(key=lambda item: item.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Leave modules and tests out of every later collection: each measured span begins with a full one."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave out what the tests of a file leave behind, too: by the end that is a third of a second a span."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a function that fills a folder, known by its name, once for all workers of this run."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if hasattr(pytestconfig, "workerinput") else own

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        place = shared / "made-once" / name
        place.mkdir(parents=True, exist_ok=True)
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (place / ".made").exists():
                make(place)
                (place / ".made").touch()
        return place

    return folder


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Run commands in processes that share what they import."""
    with Forks() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the tests write out of the journal of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
