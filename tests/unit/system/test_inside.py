"""A folder that was copied from elsewhere leads no write out of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.records.store import StoreError, open_store
from harness.system.inside import OutsideError, open_plain, require_inside
from harness.system.locks import SweepBusyError, sweep_lock


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a file that nobody may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("theirs")
    return folder


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "pipe", "folder"])
def test_only_a_plain_file_is_opened(tmp_path: Path, outside: Path, kind: str) -> None:
    """A link is not followed and no file is made behind it; a pipe does not block."""
    path = tmp_path / ".lock"
    {
        "link": lambda: path.symlink_to(outside / "file"),
        "dangling": lambda: path.symlink_to(outside / "new"),
        "hard link": lambda: path.hardlink_to(outside / "file"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[kind]()
    with pytest.raises(OutsideError, match="not a plain file"):
        open_plain(path)
    assert [p.name for p in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "theirs"


def test_a_lock_that_is_a_link_overwrites_nothing(tmp_path: Path, outside: Path) -> None:
    """The sweep does not start, and the line names the file."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / ".lock").symlink_to(outside / "file")
    with pytest.raises(OutsideError, match=r"\.lock is not a plain file"), sweep_lock(tmp_path / "demo"):
        pytest.fail("it was locked")
    assert (outside / "file").read_text() == "theirs"


def test_a_sweep_stays_locked_when_its_lock_file_is_deleted(tmp_path: Path) -> None:
    """The folder itself is held as well."""
    with sweep_lock(tmp_path / "demo"):
        (tmp_path / "demo" / ".lock").unlink()
        with pytest.raises(SweepBusyError), sweep_lock(tmp_path / "demo"):
            pytest.fail("two runs at once")


def test_a_root_that_is_a_link_is_the_users_own_choice(tmp_path: Path, outside: Path) -> None:
    """Beneath it, links that stay inside are followed and others are not."""
    root = tmp_path / "results"
    root.symlink_to(outside)
    (outside / "a").mkdir()
    (outside / "b").symlink_to(outside / "a")
    (outside / "c").symlink_to(tmp_path)
    require_inside(root, root / "b" / "new")
    with pytest.raises(OutsideError, match="leads out of"):
        require_inside(root, root / "c" / "new")


@pytest.mark.parametrize("where", ["demo", "demo/machine"])
def test_a_store_writes_through_no_link(tmp_path: Path, outside: Path, where: str) -> None:
    """Neither the plan nor a record leaves the results folder."""
    store = open_store(tmp_path / "results")
    link = store.root / where
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(StoreError, match="leads out of"):
        store.write_once(link / "record.json", b"{}")
    if where == "demo":
        with pytest.raises(StoreError, match="leads out of"):
            store.write_plan("demo", {})
    assert [p.name for p in outside.iterdir()] == ["file"]


def test_an_index_that_is_a_link_is_not_written(tmp_path: Path, outside: Path, capsys: Any) -> None:
    """A rebuild says so; a query answers all the same."""
    root = tmp_path / "results"
    root.mkdir()
    (root / "index").symlink_to(outside)
    assert main(["index", "rebuild", "--results", str(root)]) == 2
    assert "leads out of" in capsys.readouterr().err
    assert main(["index", "query", "SELECT 1 AS one", "--results", str(root)]) == 0
    assert [p.name for p in outside.iterdir()] == ["file"]


def test_a_link_to_itself_leads_nowhere(tmp_path):
    """It is refused like one that leads out."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OutsideError, match="link"):
        require_inside(tmp_path, tmp_path / "loop" / "x")
