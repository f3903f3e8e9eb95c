"""A toy repository with a planted slowdown of a tenth: the gate stops it, and the bisect names the commit.

Minutes long on two quiet cores, half an hour on busy ones; `benchmarks/gate_bench/real.py` repeats it with
A/A runs beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.gate_bench.toy import Toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """Make six commits, the fourth of which does a tenth more."""
    return Toy.make(tmp_path, commits=6, planted=3)


def test_the_gate_stops_a_planted_slowdown(toy: Toy) -> None:
    """Ten quiet nights, then the slow head: exit code 3, and a label in the JSON."""
    toy.history(nights=10)
    toy.night("nightly-tonight", toy.commits[-1])
    done = toy.gate(base=toy.commits[0], head=toy.commits[-1])
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    worst = told["verdicts"][0]
    assert worst["label"] == "regression"
    assert 0.03 < worst["pairs"]["effect"] < 0.25


def test_the_bisect_names_the_planted_commit(toy: Toy) -> None:
    """It is found among the six, by the same pairs."""
    done = toy.bisect()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["first_bad"] == toy.commits[3]
    worktrees = subprocess.run(["git", "worktree", "list"], cwd=toy.folder, capture_output=True, text=True)
    assert len(worktrees.stdout.splitlines()) == 1
