"""Shell completion, from folders whose files are known."""

from __future__ import annotations

import pytest

from harness.cli import completion


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A configuration with two groups."""
    for name in ("workload/gpt", "workload/gat", "workload/bert", "device/cpu", "device/notes"):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "device" / "notes.yaml").rename(tmp_path / "device" / "notes.txt")
    (tmp_path / "config.yaml").touch()
    monkeypatch.setattr(completion, "config_folder", lambda: tmp_path)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["device=", "workload="]),
        ("w", ["workload="]),
        ("+w", ["+workload="]),
        ("workload=g", ["workload=gat", "workload=gpt"]),
        ("workload=bert,g", ["workload=bert,gat", "workload=bert,gpt"]),
        ("+device=", ["+device=cpu"]),
        ("workload=x", []),
        ("../secret=", []),
        ("nothing=", []),
    ],
)
def test_groups_and_their_options_are_offered(groups, typed, offered):
    """Every option of a list, and nothing from outside the groups."""
    assert completion.overrides(typed) == offered


def test_sweeps_are_the_folders_of_the_results(tmp_path, monkeypatch):
    """But for the index; without results there are none."""
    monkeypatch.chdir(tmp_path)
    assert completion.sweeps("") == []
    for name in ("night-2", "night-1", "demo", "index"):
        (tmp_path / "results" / name).mkdir(parents=True)
    (tmp_path / "results" / "night.txt").touch()
    assert completion.sweeps("") == ["demo", "night-1", "night-2"]
    assert completion.sweeps("ni") == ["night-1", "night-2"]
