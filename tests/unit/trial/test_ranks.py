"""Which rank's failure is the trial's, and how ranks' output is told apart."""

from __future__ import annotations

import json
import os

import pytest

from harness.trial import ranks


@pytest.mark.parametrize(
    ("code", "oom", "expected"),
    [
        (-9, False, ("crashed", "rank 1: killed by SIGKILL")),
        (-9, True, ("oom", "rank 1: killed by SIGKILL because memory ran out")),
        (-11, True, ("crashed", "rank 1: killed by SIGSEGV")),
        (7, False, ("crashed", "rank 1: exited with code 7")),
    ],
)
def test_a_rank_that_died_without_a_word_is_told_by_how_it_ended(code, oom, expected):
    """A signal by its name; only a kill is one for memory."""
    found = ranks._silent(1, code, None, oom=oom)
    assert (found["status"], found["reason"]) == expected


def test_failures_are_read_in_the_order_in_which_they_were_written():
    """The first one told is the cause of the others."""
    read, write = os.pipe()
    for rank in (1, 0):
        os.write(write, json.dumps({"rank": rank}).encode() + b"\n")
    os.close(write)
    assert [one["rank"] for one in ranks._failures(read)] == [1, 0]


def test_no_failure_told_is_an_empty_list():
    """A rank that died silently leaves the pipe empty, and still open in others."""
    read, write = os.pipe()
    assert ranks._failures(read) == []
    os.close(write)


def test_every_line_is_printed_behind_its_rank(capfdbinary):
    """Lines in parts, several at once, and a last one without an end; nothing is lost or mixed."""
    with ranks._prefixed(0, 2) as (first, second):
        os.write(first, b"one\ntw")
        os.write(second, b"other")
        os.write(first, b"o\n")
        os.write(first, b"x" * 100_000)
    lines = capfdbinary.readouterr().out.splitlines()
    assert sorted(line for line in lines if len(line) < 100) == [
        b"[rank 0] one", b"[rank 0] two", b"[rank 1] other"
    ]  # fmt: skip
    assert sum(line.count(b"x") for line in lines) == 100_000
