"""Whose fault it was: bad input is one line and exit code 2, a fault of ours one line and exit code 1."""

import errno
import os

import pytest

from harness import cli
from harness.cli.commands import status
from harness.records.store import StoreError
from harness.system.errors import InputError, ResourceError, UsageError

USERS = [
    UsageError("--delta 7: choose between 0 and 1"),
    InputError("a.yaml: a mapping is needed"),
    ResourceError("a.yaml: Permission denied"),
    StoreError("cannot write records in results: the disk is full"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.ENAMETOOLONG, "File name too long"),
]
OURS = [
    ValueError("not enough values to unpack"),
    RuntimeError("dictionary changed size"),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "/ours"),
    KeyError("metrics"),
    TypeError("unsupported operand"),
    AssertionError(),
]


def planted(monkeypatch, error):
    """Let the verb `status` raise an error."""

    def main(_options):
        raise error

    monkeypatch.setattr(status, "main", main)


@pytest.mark.parametrize("error", USERS, ids=repr)
def test_what_the_user_can_put_right_is_one_line_and_exit_code_2(monkeypatch, capsys, error):
    """The message alone, with nothing of a fault of ours."""
    planted(monkeypatch, error)
    assert cli.main(["status", "demo"]) == 2
    assert capsys.readouterr().err == f"joulemark: {error}\n"


@pytest.mark.parametrize("error", OURS, ids=repr)
def test_a_fault_of_ours_is_shown_as_one(monkeypatch, capsys, error):
    """Never as bad input: exit code 1, where to report it, and what it was."""
    planted(monkeypatch, error)
    assert cli.main(["status", "demo"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "this is a fault of Joulemark" in said
    assert f"please report it at {cli.ISSUES}" in said
    assert type(error).__name__ in said
    assert "bad" not in said


def test_what_a_library_makes_of_an_interrupt_is_an_interrupt(monkeypatch, capsys):
    """DuckDB raises `RuntimeError: Query interrupted` where a signal comes within a query."""
    planted(monkeypatch, RuntimeError("Query interrupted"))
    monkeypatch.setattr(cli, "was_interrupted", lambda: True)
    assert cli.main(["status", "demo"]) == 130
    assert capsys.readouterr().err.startswith("joulemark: interrupted; ")


@pytest.mark.parametrize("error", [USERS[0], OURS[0]], ids=repr)
def test_debug_shows_the_traceback(monkeypatch, error):
    """Python's own traceback and its exit code 1, for whoever repairs it."""
    planted(monkeypatch, error)
    with pytest.raises(type(error)) as raised:
        cli.main(["status", "--debug", "demo"])
    assert raised.value is error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["list", "everything"], "invalid choice: 'everything'"),
        (["report"], "required: SWEEP; see `joulemark report --help`"),
        (["status", "a", "--frob"], "not understood: --frob; see `joulemark status --help`"),
        (["--frob"], "not understood: --frob; see `joulemark --help`"),
        (["compare", "a", "b", "--delta", "much"], "invalid float value: 'much'"),
        (["compare", "a", "b", "--delta", "7"], "--delta 7"),
        (["compare", "x" * 300, "b"], "not a sweep's name"),
        (["recommend", "demo", "--for", "absent.yaml"], "no records of a sweep demo"),
        (["accept", "absent.yaml"], "absent.yaml: No such file"),
        (["verify", "absent.tar"], "absent.tar: No such file"),
        (["verify", "."], "no sweep: it holds no record"),
        (["merge", "absent.tar"], "absent.tar: No such file"),
        (["bundle", "absent"], "no sweep absent"),
        (["export", "absent", "--to", "cvs"], "did you mean csv?"),
        (["import", "absent.json", "--from", "mlperf"], "absent.json: No such file"),
        (["qualify", "--device", "cpu:x"], "what follows the colon is a number"),
        (["qualify", "--device", "gpu"], "gpu"),
        (["gate", "--policy", "absent.yaml"], "absent"),
        (["plan", "workload=gtp"], "did you mean gpt?"),
        (["plan", "seed=soon"], "seed='soon'"),
        (["plan", "workload=["], "the value needs quotes"),
        (["ab", "device=cpu"], "ab takes BASE and HEAD"),
        (["bisect", "a", "b", "--repository", "."], "a: no such revision"),
    ],
    ids=" ".join,
)
def test_every_kind_of_bad_input_is_one_line(monkeypatch, tmp_path, capsys, arguments, said):
    """From the parser, the overrides, a file, a folder, a device: exit code 2 and a line that names it."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("joulemark: ")
    assert said in err
    assert "fault of Joulemark" not in err


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_results_folder_without_permission_is_bad_input(monkeypatch, tmp_path, capsys):
    """The folder is named."""
    (tmp_path / "results").mkdir(mode=0)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "demo"]) == 2
    assert "results: Permission denied" in capsys.readouterr().err
