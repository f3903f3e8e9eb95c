"""Slurm's commands, by stand-ins that say what the real ones were seen to say."""

from __future__ import annotations

import os
import stat

import pytest

from harness.cluster import slurm
from harness.config.cluster import SlurmConfig


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Put a command on the path that keeps its arguments and its input, and answers what it is told to."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(name, answer="", complaint="", code=0):
        path = tmp_path / name
        (tmp_path / f"{name}.out").write_text(answer)
        (tmp_path / f"{name}.err").write_text(complaint)
        path.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {path}.args\ncat > {path}.in\n'
            f"cat {path}.out; cat {path}.err >&2; exit {code}\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return lambda part="args": (tmp_path / f"{name}.{part}").read_text()

    return make


def asked(tmp_path, blocks=(1, 2, 3, 7), **config):
    """Return the options of a submission."""
    return slurm.submission(
        SlurmConfig(**config), name="night", blocks=blocks, nodes=2, logs=tmp_path, folder=tmp_path
    )


def test_what_is_asked_for_becomes_options_of_one_word_each(tmp_path):
    """Of a block's allocation; what is null is left to the cluster."""
    words = asked(
        tmp_path, partition="gpu", account="a-1", time=90, gpus="h100:4", constraint="[a&b|c]", at_once=2
    )
    assert words[0] == "sbatch"
    assert {
        *("--partition=gpu", "--account=a-1", "--time=90", "--gpus-per-node=h100:4", "--constraint=[a&b|c]"),
        *("--array=1-3,7%2", "--nodes=2", "--ntasks=2", "--requeue", "--exclusive"),
        "--job-name=joulemark-night",
    } <= set(words)
    assert not [
        w for w in asked(tmp_path, exclusive=False) if w.startswith(("--part", "--exclusive", "--time"))
    ]


def test_the_script_runs_the_command_with_its_block(tmp_path, command):
    """Words pass as they are: nothing is read by a shell but the constant script."""
    said = command("sbatch", "12;cluster\n")
    job = slurm.submit(asked(tmp_path), 8, ["python", "a b", "$(id)"], {**os.environ})
    assert job == "12"
    assert said("args").splitlines()[-5:] == ["/dev/stdin", "8", "python", "a b", "$(id)"]
    assert said("in") == slurm.SCRIPT


@pytest.mark.parametrize(
    ("name", "answer", "complaint", "code", "line"),
    [
        (
            "sbatch",
            "",
            "sbatch: error: invalid partition: x\nsbatch: error: Invalid partition name specified\n",
            1,
            "Slurm: sbatch: error: Invalid partition name specified",
        ),
        ("sbatch", "", "", 3, "Slurm: sbatch ended with code 3"),
        ("sbatch", "Submitted\n", "", 0, "sbatch printed no job's id: 'Submitted'"),
    ],
)
def test_a_refusal_is_one_line_in_slurms_words(tmp_path, command, name, answer, complaint, code, line):
    """Whatever it printed before."""
    command(name, answer, complaint, code)
    with pytest.raises(slurm.SlurmError) as error:
        slurm.submit(asked(tmp_path), 8, ["x"], {**os.environ})
    assert str(error.value) == line


def test_a_host_without_slurm_is_told_so(tmp_path, monkeypatch):
    """By the command that is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(slurm.SlurmError, match="there is no squeue on this host's path"):
        slurm.tasks("12")


def test_the_queue_is_read_by_block(command):
    """A task that is requeued is queued; what a later Slurm adds is passed over."""
    command(
        "squeue",
        "1|COMPLETED|None|n1\n2|RUNNING|None|n2\n3|PENDING|BeginTime|\n4|TIMEOUT|TimeLimit|n1\nN/A|RUNNING|None|n1\nx\n",
    )
    found = slurm.tasks("12")
    assert {block: (t.is_live, t.is_queued) for block, t in found.items()} == {
        1: (False, False), 2: (True, False), 3: (True, True), 4: (False, False)
    }  # fmt: skip
    assert found[2].node == "n2"
    assert found[3].reason == "BeginTime"


def test_a_forgotten_job_has_no_tasks_and_a_silent_controller_is_an_error(command):
    """Slurm forgets ended jobs after some minutes."""
    command("squeue", "", "slurm_load_jobs error: Invalid job id specified\n", 1)
    assert slurm.tasks("12") == {}
    command("squeue", "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", 1)
    with pytest.raises(slurm.SlurmError, match="Unable to contact"):
        slurm.tasks("12")


@pytest.mark.parametrize(
    "config",
    [
        {"partition": "--help"}, {"partition": "a b"}, {"account": "x;id"}, {"time": "1h"}, {"gpus": "-1"},
        {"constraint": "$(id)"}, {"memory": "64 G"}, {"partition": "a\n--wrap=id"}, {"qos": ""},
    ],
)  # fmt: skip
def test_a_value_that_is_no_plain_word_never_reaches_a_command_line(config):
    """Whatever wrote the configuration."""
    with pytest.raises(ValueError, match=next(iter(config))):
        SlurmConfig(**config)
