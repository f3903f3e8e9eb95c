"""Two sides from the command line's words: configurations, interpreters and checkouts."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from harness.cli.commands.ab import side_overrides
from harness.comparison.sides import Environment, environment, make_side
from harness.isolation.protocol import ReplicaSpec


def words(*overrides, seconds=None, **where):
    """Split the command line's words."""
    places = {f"{side}_{what}": None for side in ("base", "head") for what in ("python", "checkout")}
    options = argparse.Namespace(overrides=list(overrides), pair_seconds=seconds, **(places | where))
    return side_overrides(options)


def test_shared_overrides_come_before_a_sides_own():
    """BASE and HEAD are split into words and put on top of what is shared."""
    assert words("a=1 b='x y'", "", "workload=gpt", seconds=1.5) == {
        "base": ["workload=gpt", "measure.seconds=1.5", "a=1", "b=x y"],
        "head": ["workload=gpt", "measure.seconds=1.5"],
    }


def test_with_an_environment_all_words_are_the_one_configuration():
    """Two environments share their configuration, and every process is a new interpreter."""
    found = words("workload=gpt", "seed=1", head_checkout="x")
    assert found["base"] == found["head"] == ["workload=gpt", "seed=1", "run.worker=exec"]


@pytest.mark.parametrize("given", [(), ("workload=gpt",), ("'", "")])
def test_too_few_words_and_open_quotes_are_refused(given):
    """BASE and HEAD are both needed, each a list that can be split."""
    with pytest.raises(ValueError):
        words(*given)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["workload=noop", "seed=1,2"], "base makes 2 trials"),
        (["workload=noop", "precision=bf16"], "base cannot run: noop cannot run with precision bf16"),
        (["workload=nope"], "nope"),
    ],
)
def test_a_side_is_exactly_one_trial_that_can_run(overrides, said):
    """A sweep, a refused cell and a wrong name are each one line, before anything starts."""
    with pytest.raises(ValueError, match=said):
        make_side("base", ["device=cpu", *overrides], Environment(), [])


def git(folder, *arguments):
    """Run git in a folder as somebody."""
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one module with two versions."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for version in ("1", "2"):
        (folder / "their_module.py").write_text(f"VERSION = {version}\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", version)
    monkeypatch.chdir(folder)
    return folder


def imported(where):
    """Return what `their_module` an environment imports."""
    asked = [where.python or sys.executable, "-c", "import their_module as t; print(t.VERSION)"]
    done = subprocess.run(asked, env=where.variables(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_revision_is_checked_out_used_and_removed(repository):
    """A worktree of the revision comes first on the import path, and nothing of it is left."""
    with environment(None, "HEAD~1") as base, environment(None, ".") as head:
        assert (imported(base), imported(head)) == ("1", "2")
        assert base.commit == git(repository, "rev-parse", "HEAD~1")
        assert head.commit == git(repository, "rev-parse", "HEAD")
        assert base.checkout.is_dir()
    assert not base.checkout.exists()
    assert head.checkout.is_dir()
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_the_worktree_is_removed_after_an_error_too(repository):
    """Whatever happens meanwhile, the repository has no worktree more."""
    with pytest.raises(KeyboardInterrupt), environment(None, "HEAD~1"):
        raise KeyboardInterrupt
    assert len(git(repository, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("python", "where"), [(None, "no-such-revision"), (None, "--all"), ("/nowhere", None)]
)
def test_what_is_not_there_is_one_line(repository, python, where):
    """Neither a folder nor a revision, or no interpreter: a ValueError that names it."""
    with pytest.raises(ValueError, match=str(where or python)), environment(python, where):
        pass


def test_another_interpreter_plans_for_itself():
    """The plan, the code's identity and the raw configuration come from the environment's own code."""
    overrides = ["workload=noop", "device=cpu", "measure=quick", "run.worker=exec"]
    side = make_side("head", overrides, Environment(python=sys.executable), [])
    here = make_side("base", overrides, Environment(), [])
    assert (side.trial.trial_id, side.identity.code_id) == (here.trial.trial_id, here.identity.code_id)
    assert side.trial.payload == here.trial.payload
    assert side.trial.external_config is not None


def test_a_worker_of_a_checkout_imports_from_it(repository, tmp_path, trial):
    """A new interpreter of a revision measures, with the revision's modules first on its path."""
    (repository / "sitecustomize.py").write_text("print('of the checkout')\n")
    with environment(None, ".") as here, here.workers() as workers:
        measure = trial.payload["measure"] | {"seconds": 0.02, "warmup_s": 0.0, "warmup_cap_s": 0.02}
        spec = ReplicaSpec(trial.payload | {"measure": measure}, trial.size)
        outcome = workers.run(spec, tmp_path, worker="exec", timeout_s=60)
    assert outcome.result is not None, outcome.log_tail
    assert outcome.result["status"] == "ok", outcome.result
    assert "of the checkout" in (tmp_path / "log.txt").read_text()


def test_an_interpreter_without_joulemark_says_so(tmp_path):
    """The last line of its error is the reason."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named harness' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ValueError, match="head: No module named harness"):
        make_side("head", ["workload=noop"], Environment(python=str(broken)), [])
