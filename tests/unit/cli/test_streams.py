"""Commands go on without a listener, and write to terminals of few characters."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

import pytest

from harness.cli import streams
from harness.cli.output import print_table
from harness.execution.progress import PlainProgress
from harness.planning.plan import make_plan


class _Gone(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError

    def fileno(self) -> int:
        return self._sink

    def __init__(self) -> None:
        super().__init__()
        self._sink = os.open(os.devnull, os.O_WRONLY)


def test_a_sweep_goes_on_without_a_listener() -> None:
    """A line of progress that nobody takes is lost, and nothing else."""
    shown = PlainProgress(make_plan(["workload=noop", "device=cpu"]), _Gone())
    shown.note("one line")


def test_what_nobody_hears_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of what is printed goes nowhere; the code after it runs."""
    monkeypatch.setattr(sys, "stdout", _Gone())
    with streams.unheard():
        print("a table")


def test_a_table_for_a_reader_who_left_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is an `OSError`, which callers expect; rich alone would end the process with 1."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", closefd=False) as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        with pytest.raises(BrokenPipeError):
            _shown_at_once(broken)
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)


def _shown_at_once(broken: TextIO) -> None:
    print_table(["a"], [["b"]])
    broken.flush()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_few_characters_gets_replacements(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """A unit in Greek is a question mark there, not an error."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    streams.prepare()
    print("5 Ωs")
    sys.stdout.flush()
    assert raw.getvalue() == b"5 ?s\n"


def test_a_closed_output_swallows_what_it_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell's `>&-` leaves it."""
    monkeypatch.setattr(sys, "stdout", None)
    streams.prepare()
    print("text")
    assert sys.stdout is not None
    sys.stdout.close()
