"""Bad input ends in one clear line and exit code 2, and nothing that was there is lost."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "workload=gtp"], "did you mean gpt?"),
        (["plan", "wrkload=gpt"], "did you mean workload?"),
        (["run", "workload=gpt", "workload.batch=-1"], "workload.batch"),
        (["run", "workload=gpt", "workload.data=/no/such/file"], "/no/such/file"),
        (["run", "workload=gpt", "workload.data=.", "device=cpu"], "no image in it"),
        (["run", "workload=gpt", "device.kind=cpu", "device.index=5"], "not available"),
        (["run", "workload=gpt", "power.sensor=nvlm", "device=cpu"], "did you mean nvml?"),
        (["plan", "--config-dir", "absent"], "no such folder"),
        (["status", "absent"], "no sweep absent"),
        (["report", "absent"], "no records"),
        (["report", "absent", "--format", "docx"], "docx"),
        (["index", "query", "SELECT", "1", "--results", "."], "in quotes"),
        (["index", "query", "SELECT 1", "--results", "absent"], "no such results folder"),
        (["list", "everything"], "invalid choice"),
        (["frobnicate"], "invalid choice"),
        (["status", "../../etc"], "not a sweep"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(joulemark, arguments, said):
    """Unknown names, impossible values and absent files never show a traceback."""
    done = joulemark(*arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    if "invalid choice" not in said:
        assert len((done.stderr.strip() or done.stdout.strip()).splitlines()[-1]) < 300
    assert (
        not (joulemark.folder / "results").exists()
        or joulemark.records("gpt") == []
        or "device" in str(arguments)
    )


def test_a_data_file_that_cannot_be_read_is_refused(joulemark):
    """An empty text file is named, before anything starts."""
    (joulemark.folder / "empty.txt").touch()
    done = joulemark("run", "workload=gpt", "workload.data=empty.txt", *joulemark.TINY)
    assert done.returncode == 2
    assert "empty.txt" in done.stderr


def test_when_every_cell_is_refused_the_exit_code_is_2(joulemark):
    """Refused cells are recorded with their reasons; all of them refused is bad input."""
    done = joulemark("run", "workload=gpt", "workload.mode=infer", *joulemark.TINY)
    assert done.returncode == 2
    assert [r["status"] for r in joulemark.records("gpt")] == ["refused"]
    mixed = joulemark("run", "workload=noop", "precision=fp32,bf16", *joulemark.TINY)
    assert mixed.returncode == 0, "a refused cell beside good ones does not change the exit code"


def test_the_table_says_what_a_trial_found_out(joulemark):
    """A wrong output has no figure but a reason, and so has what was refused only when it was tried."""
    (joulemark.folder / "own.py").write_text(
        "import torch\n"
        "def net(batch):\n"
        "    return torch.nn.Linear(4, 4), {'input': torch.full((batch, 4), torch.nan)}\n"
    )
    shown = joulemark(
        "run", "workload=user", "workload.factory=own:net", "workload.mode=infer,train", *joulemark.TINY
    )
    rows = [line for line in shown.stdout.splitlines() if line.startswith("user own:net")]
    infer, train = (" ".join(row.split()) for row in rows)
    assert infer.endswith("invalid The outputs failed their check. the output is not finite")
    assert "refused" in train
    assert train.endswith("the model has no training loss: return one as the factory's third value")


def test_debug_shows_the_traceback(joulemark):
    """`--debug` is there for whoever repairs the tool."""
    assert "Traceback" in joulemark("plan", "--debug", "workload=gtp").stderr


def mounted(folder, options):
    """Mount a small tmpfs, or skip where this is not allowed."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.decode().strip()}")
    return folder


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize(("options", "said"), [("ro", "read-only"), ("size=16k", "full")])
def test_a_folder_that_cannot_be_written_is_one_line(joulemark, options, said):
    """A read-only mount and a full disk: exit code 2 and what to do about it."""
    folder = mounted(joulemark.folder / "results", options)
    try:
        done = joulemark("run", "workload=noop", *joulemark.TINY)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "run.results=" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_a_disk_that_fills_up_during_a_sweep_loses_nothing(joulemark):
    """What was recorded before the disk was full stays whole; the sweep stops with one line and resumes."""
    folder = mounted(joulemark.folder / "results", "size=400k")
    args = ["run", "workload=noop", "seed=range(30)", *joulemark.TINY]
    try:
        done = joulemark(*args)
        written = joulemark.records("noop")
        subprocess.run(["mount", "-o", "remount,size=20m", str(folder)], check=True)
        again = joulemark(*args)
        whole = joulemark.records("noop")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert done.returncode == 2
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    assert 0 < len(written) < 30
    assert again.returncode == 0, again.stderr
    assert len(whole) == 30


def test_help_and_version_answer_without_heavy_imports():
    """`--help` loads neither torch, hydra, pydantic nor rich."""
    code = (
        "import sys\nfrom harness.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'hydra', 'pydantic', 'rich', 'numpy', 'duckdb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "exit codes" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_shell_code(joulemark, shell):
    """Every supported shell gets code that names the command."""
    done = joulemark("completion", shell)
    assert done.returncode == 0
    assert "joulemark" in done.stdout


def test_completion_knows_verbs_groups_and_options():
    """Completing `workload=ber` offers bert, `prec` the group, from file names alone."""
    from harness.cli.completion import overrides

    assert overrides("workload=ber") == ["workload=bert"]
    assert overrides("prec") == ["precision="]
    assert overrides("precision=fp32,b") == ["precision=fp32,bf16"]
    assert "+experiment=demo" in overrides("+experiment=")
    assert overrides("../x=") == []
