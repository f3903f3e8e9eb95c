"""The search over a real git repository, with scripted effects in place of measured pairs."""

from __future__ import annotations

import math
import random
import subprocess
from pathlib import Path

import pytest

from harness.gate.bisect import Bisect, BisectError
from harness.records.metrics import make
from harness.records.store import open_store
from harness.stats import Comparison, compare


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, list[str]]:
    """Make nine commits; return the folder and the commits, oldest first."""
    folder = tmp_path / "repository"
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    commits = []
    for i in range(9):
        (folder / "file").write_text(str(i))
        _git(folder, "add", "file")
        _git(folder, "commit", "-q", "-m", f"c{i}")
        commits.append(_git(folder, "rev-parse", "HEAD"))
    return folder, commits


class Scripted(Bisect):
    """Measures the file's number by a table: an effect, or None where the commit cannot run."""

    effects: dict[int, float | None]

    def _measure(self, base, good, head, commit, between=None) -> Comparison | None:
        effect = self.effects[int((head / "file").read_text())]
        assert (base / "file").read_text() == "0"
        if effect is None:
            return None
        noise = [math.exp(0.01 * math.sin(i)) for i in range(24)]
        return compare([1.0] * 24, [n * (1 + effect) for n in noise])


def _search(repository: tuple[Path, list[str]], effects: dict[int, float | None], **fields) -> Scripted:
    folder, commits = repository
    search = Scripted(commits[0], "main", folder, [], open_store(folder / "results"), **fields)
    search.effects = effects
    return search


@pytest.mark.parametrize("planted", range(1, 9))
def test_it_names_the_commit_wherever_it_is(repository, planted: int) -> None:
    """Ten percent from one commit on is found in at most four measurements after the first."""
    search = _search(repository, {i: 0.1 if i >= planted else 0.0 for i in range(9)})
    assert search.run() == repository[1][planted]
    assert len(search.steps) <= 5


def test_commits_that_cannot_run_are_skipped(repository) -> None:
    """Two broken ones in the middle do not end the search."""
    effects = {i: 0.1 if i >= 6 else 0.0 for i in range(9)} | {3: None, 4: None}
    search = _search(repository, effects)
    assert search.run() == repository[1][6]
    assert any(step.answer == "skip" for step in search.steps)


def test_a_commit_that_is_not_worse_ends_it_at_once(repository) -> None:
    """Without a regression between the ends there is nothing to search for."""
    search = _search(repository, dict.fromkeys(range(9), 0.0))
    assert search.run() is None
    assert len(search.steps) == 1


def test_the_users_checkout_is_as_before(repository) -> None:
    """No worktree, no bisect state and no other branch is left."""
    folder, _ = repository
    _search(repository, {i: 0.1 if i >= 4 else 0.0 for i in range(9)}).run()
    assert len(_git(folder, "worktree", "list").splitlines()) == 1
    assert _git(folder, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert _git(folder, "for-each-ref", "refs/bisect") == ""


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (("nowhere", "main"), "nowhere: no such revision"),
        (("main", "main~8"), "main is no ancestor of main~8"),
    ],
)
def test_wrong_ends_are_told(repository, ends: tuple[str, str], said: str) -> None:
    """A revision that is not there, or the two the wrong way round."""
    search = _search(repository, {})
    search.good, search.bad = ends
    with pytest.raises(BisectError, match=said):
        search.run()


def test_a_metric_that_nobody_knows_is_told_before_anything_is_measured(repository) -> None:
    """It is named."""
    with pytest.raises(BisectError, match="--metric speed: no such metric"):
        _search(repository, {}, metric="speed").run()


def _sides(store, add_night, effect: float, metric: str = "iteration.mean") -> tuple[list, list]:
    """Write twenty-four pairs of this effect, which scatter by about 3 %."""
    noise = random.Random(1)
    for replica in range(24):
        for side, level in (("base", 1.0), ("head", 1 + effect)):
            value = level * math.exp(noise.gauss(0, 0.02))
            add_night(0, None, sweep=f"b-{side}", replica=replica, metrics=(make(metric, value),))
    return tuple(store.records(f"b-{side}")[0] for side in ("base", "head"))


@pytest.mark.parametrize(("effect", "first_look"), [(0.0, 6), (0.1, 6), (0.05, 24)])
def test_a_commit_between_is_measured_until_it_is_on_one_side(
    repository, store, add_night, effect: float, first_look: int
) -> None:
    """Half the regression is the border: near it the pairs go on to the last look."""
    search = _search(repository, {})
    base, head = _sides(store, add_night, effect)
    settled = [n for n in range(1, 25) if search._is_settled(base[:n], head[:n], between=0.05)]
    assert settled[0] == first_look
    assert set(settled) <= {6, 10, 16, 24}


@pytest.mark.parametrize("metric", ["iteration.mean", "iteration.mean.clean"])
def test_the_undisturbed_time_decides_where_processes_have_it(
    repository, store, add_night, metric: str
) -> None:
    """Else the plain one; a metric that was asked for stays."""
    base, head = _sides(store, add_night, 0.1, metric)
    assert _search(repository, {})._metric(base, head) == metric
    assert _search(repository, {}, metric="cpu.time")._metric(base, head) == "cpu.time"
