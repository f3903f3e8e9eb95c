"""What leaves this machine of a path or a command: its last part, and a digest that its user alone makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.system import private


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """Give the salt a folder of its own, and forget it afterwards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    private._salt.cache_clear()
    yield
    private._salt.cache_clear()


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("command:/opt/meter --token hunter2", "command:meter#"),
        ("command:'", "command:unreadable#"),
        ("file:/home/alice/power.csv?column=W", "file:power.csv#"),
    ],
)
def test_a_meter_is_named_without_what_is_private(device, name):
    """Neither its arguments nor its folders; another line is another digest."""
    shown = private.shown_device(device)
    assert shown.startswith(name)
    assert "hunter2" not in shown
    assert "alice" not in shown
    assert shown != private.shown_device(device.replace("2", "3").replace("alice", "bob") + " ")
    assert shown == private.shown_device(device)


@pytest.mark.parametrize("path", ["shipped", "data/train.txt", "0", "GPU-1"])
def test_what_lies_below_here_stays(path):
    """It says nothing of who or where."""
    assert private.shown_path(path) == path
    assert private.shown_device(path) == path


@pytest.mark.parametrize("path", ["/home/alice/train.txt", "~/train.txt", "../../alice/train.txt"])
def test_a_path_from_elsewhere_is_its_last_part(path):
    """And a digest by the user's own salt."""
    shown = private.shown_path(path)
    assert shown.startswith("train.txt#")
    assert "alice" not in shown


def test_the_salt_is_the_users_and_nobody_elses(tmp_path):
    """Kept in a file that others cannot read; another salt makes another digest."""
    (tmp_path / "joulemark").mkdir()
    first = private.salted("x")
    kept = tmp_path / "joulemark" / "salt"
    assert kept.stat().st_mode & 0o777 == 0o600
    private._salt.cache_clear()
    assert private.salted("x") == first
    kept.unlink()
    private._salt.cache_clear()
    assert private.salted("x") != first


def test_a_home_folder_has_no_name(monkeypatch):
    """Wherever it stands in a text."""
    monkeypatch.setattr(Path, "home", lambda: Path("/home/alice"))
    assert private.without_home('File "/home/alice/x.py", line 1') == 'File "~/x.py", line 1'
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    assert private.without_home("/x") == "/x"
