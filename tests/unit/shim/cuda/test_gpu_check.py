"""The one command for a GPU machine: each stage's fate is told, and the archive comes whatever happens."""

from __future__ import annotations

import json
import sys
import tarfile

import pytest


@pytest.fixture
def check(tool, monkeypatch, tmp_path):
    """Load the command, with an output folder and no nvidia-smi."""
    module = tool("gpu_check")
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(tmp_path)])
    monkeypatch.setattr(module.shutil, "which", lambda _name: None)
    monkeypatch.setattr(module, "refusal", lambda: None)
    monkeypatch.setenv("PYTHONPATH", "")
    return module


def test_every_stage_is_told_and_archived(check, monkeypatch, tmp_path, capsys):
    """One passes, one fails, one lacks a package: the later ones run all the same, and the exit code is 1."""
    monkeypatch.setattr(check, "NEEDS", {"good": (), "bad": (), "poor": ("no_such_package",)})
    commands = {
        "good": [sys.executable, "-c", "print('measured')"],
        "bad": [sys.executable, "-c", "import sys; sys.exit('broke')"],
        "poor": [],
    }
    monkeypatch.setattr(check, "stages", lambda *_: {name: (60.0, c) for name, c in commands.items()})
    assert check.main() == 1
    with tarfile.open(tmp_path / "gpu-check.tar.gz") as tar:
        stages = json.load(tar.extractfile("gpu-check/stages.json"))
        assert tar.extractfile("gpu-check/good.log").read() == b"measured\n"
    assert [(s["name"], s["exit_code"]) for s in stages] == [("good", 0), ("bad", 1), ("poor", None)]
    assert stages[2]["reason"] == "this Python lacks no_such_package"
    assert "broke" in capsys.readouterr().out


def test_without_a_gpu_nothing_is_called_checked(check, monkeypatch, tmp_path, capsys):
    """Skipped tests are no passed ones: the command refuses, and leaves no archive."""
    monkeypatch.setattr(check, "refusal", lambda: "no NVIDIA driver")
    assert check.main() == 2
    assert capsys.readouterr().err == "gpu-check: no NVIDIA driver\n"
    assert not list(tmp_path.iterdir())


def test_a_stage_that_hangs_is_stopped_at_its_limit(check, tmp_path, monkeypatch):
    """It has no exit code, and the reason says how long it was given."""
    monkeypatch.setattr(check, "NEEDS", {"slow": ()})
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    stage = check.run("slow", command, tmp_path / "slow.log", 0.2)
    assert (stage.exit_code, stage.reason) == (None, "stopped after 0 s")


def test_the_stages_fit_eight_minutes_and_need_no_report(check, tmp_path):
    """Their limits add up to less than 480 s, and none draws a report."""
    stages = check.stages(tmp_path)
    assert sum(limit for limit, _ in stages.values()) <= check.BUDGET_S < 480
    assert not any("report" in command for _, command in stages.values())


def test_every_gpu_test_belongs_to_one_stage(check, tmp_path):
    """What is named in the first stage is what the last one leaves out."""
    stages = check.stages(tmp_path)
    named = {word for word in stages["tests"][1] if word.startswith("tests/gpu/")}
    left_out = {word.removeprefix("--ignore=") for word in stages["workloads"][1] if "--ignore=" in word}
    assert named == left_out
    assert all((check.ROOT / path).is_file() for path in named)
