"""Records and plans keep no path and no command line, unless their user says so; identities follow."""

from __future__ import annotations

import json

import pytest

from harness.identity.machine import Identity
from harness.identity.trial import recorded_trial_id, recorded_work_id
from harness.planning import private
from harness.planning.plan import make_plan, plan_payload

SECRET = "hunter2"
IDENTITY = Identity({}, {}, "a" * 64, "b" * 64)


@pytest.fixture
def words(tmp_path):
    """Overrides that name a user's folders and a meter's password."""
    (tmp_path / "alice").mkdir()
    data = tmp_path / "alice" / "train.txt"
    data.write_text("to be or not to be " * 2000)
    return [
        "workload=gpt", "device=cpu", f"workload.data={data}", f"run.results={tmp_path}/alice/results",
        "power.sensor=meter", f"power.devices=['command:meter --token {SECRET}']",
    ]  # fmt: skip


def test_what_is_kept_names_nobody_and_nothing_private(words):
    """Neither in the record's configuration and overrides, nor in the plan."""
    plan = make_plan(words)
    (trial,) = plan.trials
    kept = json.dumps([trial.recorded, plan_payload(plan, IDENTITY), trial.label])
    assert SECRET not in kept
    assert "alice" not in kept
    assert trial.recorded["workload"]["data"].startswith("train.txt#")
    assert SECRET in trial.payload["power"]["devices"][0], "the worker gets what it needs"


def test_an_audit_can_make_the_identities_again(words):
    """From what is kept alone; the data counts by its contents."""
    (trial,) = make_plan(words).trials
    assert recorded_work_id(trial.recorded, trial.size, trial.data_digest) == trial.work_id
    assert recorded_trial_id(trial.work_id, trial.recorded) == trial.trial_id


def test_a_user_can_keep_paths(words):
    """By `run.keep_paths=true`."""
    (trial,) = make_plan([*words, "run.keep_paths=true"]).trials
    assert SECRET in json.dumps(trial.recorded)
    assert private.hidden([f"--token {SECRET}"], trial.payload) == [f"--token {SECRET}"]


def test_what_a_worker_tells_is_kept_without_it_too(words, tmp_path):
    """Reasons, logs and evidence, however deep."""
    (trial,) = make_plan(words).trials
    told = {"reason": f"meter --token {SECRET}: exit code 1", "log": [{"at": f"{tmp_path}/alice/train.txt"}]}
    kept = json.dumps(private.hidden(told, trial.payload))
    assert SECRET not in kept
    assert "alice" not in kept
    assert "exit code 1" in kept


def test_a_private_word_that_is_written_otherwise_is_left_out():
    """As where quotes are escaped: the key alone stays."""
    words = private.kept_words(["seed=1", r"power.devices=['command:a\'b']"], {"command:a'b": "command:a#1"})
    assert words == ["seed=1", "power.devices=left_out"]
