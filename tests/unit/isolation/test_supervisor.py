"""What is known of a worker that has ended: its log, its messages, and how; nothing of it is left."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness.isolation import supervisor
from harness.isolation.protocol import Outcome
from harness.isolation.supervisor import LOG_HEAD_BYTES, LOG_TAIL_BYTES, BoundedLog, Messages

WATCHED = """
import json, os, sys, time
from pathlib import Path
from harness.isolation import supervisor
from harness.system import process

process.adopt_orphans()
folder = Path(sys.argv[1])

def watched(body, timeout_s=20.0, abort=False):
    log, messages, aborts = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(log[1], 1)
        for fd in (log[0], messages[0], *aborts):
            os.close(fd)
        body(lambda message: os.write(messages[1], message + b"\\n"))
        os._exit(0)
    os.close(log[1])
    os.close(messages[1])
    if abort:
        os.close(aborts[1])
    found = supervisor.watch(
        pid, log[0], messages[0], log_path=folder / "log.txt", timeout_s=timeout_s, abort_fd=aborts[0]
    )
    return found.as_dict() | {"left": process.descendants_of(os.getpid())}

def good(send):
    os.write(1, b"said\\n")
    send(b'{"phase": "measure"}')
    send(b'{"result": {"status": "ok"}}')

def killed(send):
    send(b'{"phase": "build"}')
    os.kill(os.getpid(), 9)

def coded(send):
    send(b"no message")
    os._exit(7)

def escaping(send):
    # A grandchild in a session of its own, which holds the pipes and outlives its parent.
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
    send(b'{"phase": "check"}')
    time.sleep(60)

def orphaning(send):
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)

print(json.dumps({
    "good": watched(good),
    "killed": watched(killed),
    "coded": watched(coded),
    "hung": watched(escaping, timeout_s=2.0),
    "aborted": watched(escaping, abort=True),
    "orphaned": watched(orphaning),
}))
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Outcomes of real children, by what they did, watched from a process that has no other descendants."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path_factory.mktemp("watched"))],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_worker_that_ends_well_leaves_its_result_and_its_use(watched):
    """Phase, result, log and what it took; no limit was touched."""
    found = watched["good"]
    assert (found["phase"], found["result"], found["exit_code"]) == ("measure", {"status": "ok"}, 0)
    assert found["log_tail"] == "said\n"
    assert found["max_rss_bytes"] > 1 << 20
    assert not found["timed_out"]
    assert not found["aborted"]
    assert found["signal"] is None
    assert found["problem"] is None


def test_how_a_worker_died_is_told(watched):
    """A signal by its name, with the phase; a code; and a line that was no message."""
    assert (watched["killed"]["signal"], watched["killed"]["phase"]) == ("SIGKILL", "build")
    assert watched["killed"]["oom_killed"] is False
    assert watched["coded"]["exit_code"] == 7
    assert "no valid message: b'no message'" in watched["coded"]["problem"]


def test_a_worker_that_hangs_is_killed_at_its_deadline_with_all_that_it_started(watched):
    """The grandchild in a session of its own too; so it is when the requester has gone."""
    # An abort may come before the worker has started anything.
    for name, flag, least in (("hung", "timed_out", 2), ("aborted", "aborted", 1)):
        assert watched[name][flag] is True
        assert watched[name]["killed"] >= least
        assert watched[name]["wall_s"] < 20
    assert watched["hung"]["phase"] == "check"


def test_no_descendant_survives_its_worker(watched):
    """Neither of one that was killed nor of one that ended well and left a process behind."""
    assert watched["orphaned"]["exit_code"] == 0
    assert watched["orphaned"]["killed"] >= 1
    assert not {name: found["left"] for name, found in watched.items() if found["left"]}


def test_a_long_log_keeps_its_ends_and_says_how_much_is_cut(tmp_path):
    """Head and tail to the byte, whatever the sizes of the pieces."""
    log = BoundedLog(tmp_path / "log.txt")
    size = 3 * LOG_TAIL_BYTES + (4 << 20)
    data = bytes(i % 251 for i in range(size))
    for start in range(0, size, 70_001):
        log.add(data[start : start + 70_001])
    last_lines = log.close()
    written = (tmp_path / "log.txt").read_bytes()
    note = f"\n[… {size - LOG_HEAD_BYTES - LOG_TAIL_BYTES} bytes cut …]\n".encode()
    assert written == data[:LOG_HEAD_BYTES] + note + data[-LOG_TAIL_BYTES:]
    assert last_lines == data[-4096:].decode(errors="replace")


def test_a_short_log_is_whole(tmp_path):
    """And the record has all of it."""
    log = BoundedLog(tmp_path / "log.txt")
    log.add(b"one\n")
    log.add(b"two\n")
    assert log.close() == "one\ntwo\n"
    assert (tmp_path / "log.txt").read_bytes() == b"one\ntwo\n"


def test_messages_come_in_any_pieces():
    """A line is read when it is whole; what is none is remembered, and the next one still counts."""
    messages = Messages(Outcome())
    for piece in (b'{"pha', b'se": "build"}\n{"phase": "war', b'mup"}\n[1]\nnull\n{"result": {"a": 1}}\n'):
        messages.add(piece)
    outcome = messages.outcome
    assert (outcome.phase, outcome.result) == ("warmup", {"a": 1})
    assert "no valid message" in outcome.problem


def test_a_result_without_end_is_given_up(monkeypatch):
    """It is a problem of one trial, not the memory of the harness."""
    monkeypatch.setattr(supervisor, "RESULT_LIMIT_BYTES", 1 << 20)
    messages = Messages(Outcome())
    for _ in range(40):
        messages.add(b"x" * (1 << 16))
    assert messages.outcome.problem == "the result is larger than 1 MiB"
    assert len(messages.buffer) <= (1 << 20) + (1 << 16)
