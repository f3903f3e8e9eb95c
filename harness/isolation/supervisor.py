"""Watch one worker until it ends: drain its output, hear its phases and result, end it at its deadline.

Nothing here imports torch, and nothing wakes up while the worker is silent.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.isolation.protocol import RESULT_LIMIT_BYTES, Outcome
from harness.system import process

LOG_HEAD_BYTES = 256 * 1024
LOG_TAIL_BYTES = 256 * 1024
_CHUNK = 1 << 20
_STOPPED = "a signal stopped the worker, and nothing continued it before its time was over"
_DRAIN_S = 0.2
"""How long a pipe may still be read after the worker died: a process that escaped may hold it open."""


@dataclass
class BoundedLog:
    """A log that keeps its head on disk as it comes and its tail in memory, and says how much it cut."""

    path: Path
    written: int = 0
    cut: int = 0
    tail: deque[bytes] = field(default_factory=deque)
    tail_bytes: int = 0

    def __post_init__(self) -> None:
        self._file = self.path.open("wb", buffering=0)

    def add(self, data: bytes) -> None:
        """Take what the worker printed."""
        room = max(0, LOG_HEAD_BYTES - self.written)
        if room:
            self._file.write(data[:room])
            self.written += len(data[:room])
            data = data[room:]
        if not data:
            return
        self.tail.append(data)
        self.tail_bytes += len(data)
        while self.tail_bytes > LOG_TAIL_BYTES + _CHUNK:
            dropped = self.tail.popleft()
            self.tail_bytes -= len(dropped)
            self.cut += len(dropped)

    def close(self) -> str:
        """Write the tail, and return the last lines for the record."""
        rest = b"".join(self.tail)
        over = max(0, len(rest) - LOG_TAIL_BYTES)
        cut, rest = self.cut + over, rest[over:]
        with self._file as file:
            if cut:
                file.write(f"\n[… {cut} bytes cut …]\n".encode())
            file.write(rest)
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 4096))
            return file.read().decode(errors="replace")


class Messages:
    """The worker's lines of JSON: `{"phase": …}` as it goes, `{"result": …}` at the end."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.buffer = bytearray()
        self.full = False

    def add(self, data: bytes) -> None:
        """Take bytes; a line that is no message is remembered as a problem, never raised."""
        if self.full:
            return
        self.buffer += data
        *lines, rest = self.buffer.split(b"\n")
        self.buffer = bytearray(rest)
        if len(self.buffer) > RESULT_LIMIT_BYTES:
            self.full = True
            self.outcome.problem = f"the result is larger than {RESULT_LIMIT_BYTES >> 20} MiB"
            return
        for line in lines:
            try:
                message = json.loads(line)
                if "phase" in message:
                    self.outcome.phase = str(message["phase"])[:40]
                if "result" in message:
                    self.outcome.result = dict(message["result"])
            except (ValueError, TypeError):
                self.outcome.problem = f"the worker sent no valid message: {bytes(line[:80])!r}"


def _kill_tree(pid: int) -> int:
    """Kill a worker, its group and everything that this process has adopted from it; return how many died."""
    killed = 0
    for _ in range(50):
        left = [child for child in process.descendants_of(os.getpid()) if process.state_of(child) != "Z"]
        if not left:
            break
        for child in {pid, *left}:
            process.kill(child)
        killed += len(left)
        time.sleep(0.01)
    return killed


def watch(
    pid: int, log_fd: int, message_fd: int, *, log_path: Path, timeout_s: float, abort_fd: int
) -> Outcome:
    """Supervise child `pid` until it ends, its deadline passes, or `abort_fd` turns readable.

    Args:
        pid: a child of this process, leader of its own session.
        log_fd: read end of its standard output and error.
        message_fd: read end of its messages.
        log_path: where its bounded log goes.
        timeout_s: hard limit from now.
        abort_fd: turns readable (or closes) when the requester has gone.

    Returns:
        The outcome; the child is reaped and none of its descendants is left.
    """
    started = time.monotonic()
    oom_before = process.oom_kills()
    outcome = Outcome(pid=pid)
    messages = Messages(outcome)
    log = BoundedLog(log_path)
    pid_fd = os.pidfd_open(pid)
    readers = {log_fd: log.add, message_fd: messages.add}
    with selectors.DefaultSelector() as selector:
        for fd in (*readers, pid_fd, abort_fd):
            selector.register(fd, selectors.EVENT_READ)

        def pump(wait_s: float) -> set[int]:
            ready = {key.fd for key, _ in selector.select(max(0.0, wait_s))}
            for fd in ready & readers.keys():
                data = os.read(fd, _CHUNK)
                if data:
                    readers[fd](data)
                else:
                    selector.unregister(fd)
                    del readers[fd]
            return ready

        _until_end(pump, outcome, started + timeout_s, pid_fd, abort_fd)
        outcome.wall_s = time.monotonic() - started
        if outcome.timed_out and process.state_of(pid) == "T":
            outcome.harness, outcome.problem = True, _STOPPED
        if outcome.timed_out or outcome.aborted:
            outcome.killed = _kill_tree(pid)
        _, status, usage = os.wait4(pid, 0)
        outcome.killed += _kill_tree(pid)
        selector.unregister(abort_fd)
        selector.unregister(pid_fd)
        drained = time.monotonic() + _DRAIN_S
        while readers and time.monotonic() < drained and pump(drained - time.monotonic()):
            pass
    os.close(pid_fd)
    _reap_adopted()
    _note_end(outcome, status, usage)
    outcome.oom_killed = outcome.signal == "SIGKILL" and process.oom_kills() > oom_before
    outcome.log_tail = log.close()
    return outcome


def _until_end(
    pump: Callable[[float], set[int]], outcome: Outcome, deadline: float, pid_fd: int, abort_fd: int
) -> None:
    """Wait until the child has ended, the requester has gone, or the deadline has passed; note which."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            outcome.timed_out = True
            return
        ready = pump(left)
        if abort_fd in ready:
            outcome.aborted = True
            return
        if pid_fd in ready:
            return


def _reap_adopted() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _note_end(outcome: Outcome, status: int, usage: resource.struct_rusage) -> None:
    """Write down how a child ended and what it used, as `wait4` returned it."""
    if os.WIFSIGNALED(status):
        outcome.signal = signal.Signals(os.WTERMSIG(status)).name
    else:
        outcome.exit_code = os.WEXITSTATUS(status)
    outcome.user_s, outcome.system_s = usage.ru_utime, usage.ru_stime
    outcome.max_rss_bytes = usage.ru_maxrss * 1024
    outcome.involuntary_switches = usage.ru_nivcsw
