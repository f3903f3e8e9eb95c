"""The worker's side: a server that forks one worker per replica, and what a worker does first and last.

`python -m harness.worker serve FD` reads requests, one line of JSON each, from socket FD and answers each
with the worker's outcome. Warm workers are forked from the server, which has imported torch but opened no
device and started no thread; `exec` workers start a new interpreter. When the socket closes, all die with it.

`python -m harness.worker join` runs the ranks of another node's trial on this one.

This module's name, its first two commands and the messages of `harness.isolation.protocol` are a contract
between versions: `ab`, `gate` and `bisect` start it in other checkouts, older and newer.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.isolation import supervisor
from harness.isolation.protocol import LAUNCH, Libraries, Outcome, Request
from harness.system import huge_pages, process

_MESSAGES_FD = 3
"""Where a worker finds the pipe for its phases and its result."""


def _send(message: dict[str, Any]) -> None:
    data = json.dumps(message, allow_nan=False).encode() + b"\n"
    while data:
        data = data[os.write(_MESSAGES_FD, data) :]


def _work(request: Request) -> None:
    """Run the replica in this process, and leave without any clean-up that could hang."""
    code = 1
    try:
        faulthandler.enable()
        spec, world = request.spec, request.spec.world
        process.limit_memory(request.memory_limit_bytes // (world // spec.nodes))
        from harness.trial.replica import run_replica

        def tell(phase: str) -> None:
            _send({"phase": phase})

        if world == 1:
            result = run_replica(spec, tell)
        else:
            from harness.trial import ranks

            result = ranks.run(spec, run_replica, tell, world)
        _send({"result": result})
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _join() -> None:
    """Run this node's ranks of a trial whose first node started this process."""
    try:
        faulthandler.enable()
        from harness.system.nodes import rank_of_node
        from harness.trial import ranks
        from harness.trial.replica import preload, run_replica

        request, node = json.loads(os.environ.pop("JOULEMARK_REQUEST")), rank_of_node()
        preload()
        ranks.preload()
        ranks.join_from(request, run_replica, node)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # what failed was told


def _become_worker(log_fd: int, messages_fd: int) -> None:
    """Leave the server's session, signals and files behind."""
    os.setsid()
    process.die_with_parent()
    process.volunteer_for_oom_kill()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log_fd, 1), (log_fd, 2), (messages_fd, _MESSAGES_FD)):
        os.dup2(source, target, inheritable=True)
    os.closerange(_MESSAGES_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _start(request: Request, log_fd: int, messages_fd: int) -> int:
    """Fork a worker; return its process id."""
    # Above every target of dup2, so that none is overwritten before it is used.
    log_fd, messages_fd = (_above(fd) for fd in (log_fd, messages_fd))
    pid = os.fork()
    if pid:
        os.close(log_fd)
        os.close(messages_fd)
        return pid
    try:
        _become_worker(log_fd, messages_fd)
        if request.worker == "exec":
            environment = {**os.environ, "JOULEMARK_REQUEST": json.dumps(request.as_dict())}
            command = [sys.executable, "-P", "-m", "harness.worker", "work"]
            os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter
        _work(request)
    finally:
        os._exit(1)


def _above(fd: int) -> int:
    import fcntl

    copy = fcntl.fcntl(fd, fcntl.F_DUPFD, 32)
    os.close(fd)
    return copy


def _answer(request: Request, control: socket.socket) -> Outcome:
    """Return what became of a replica; what this server cannot do is the harness's fault, not the work's."""
    ready = False
    try:
        if request.worker == "warm":
            _preload(request.spec.libraries)
        ready = True
        outcome = _handle(request, control)
    except Exception as error:  # noqa: BLE001 - a limit, a full disk, a library that cannot be loaded
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        # From then on it writes the worker's log alone; before, it may have met a cache on another disk.
        number = error.errno if ready and isinstance(error, OSError) else None
        return Outcome(problem=f"the worker server: {said}", harness=True, errno=number)
    ended = outcome.signal is not None or outcome.exit_code != 0
    if outcome.phase == LAUNCH and ended and not (outcome.timed_out or outcome.oom_killed):
        outcome.harness = True
    return outcome


def _handle(request: Request, control: socket.socket) -> Outcome:
    folder = Path(request.folder)
    log_read, log_write = os.pipe()
    messages_read, messages_write = os.pipe()
    pid = _start(request, log_write, messages_write)
    try:
        return supervisor.watch(
            pid,
            log_read,
            messages_read,
            log_path=folder / "log.txt",
            timeout_s=request.timeout_s,
            abort_fd=control.fileno(),
        )
    finally:
        os.close(log_read)
        os.close(messages_read)


def _serve(fd: int) -> None:
    """Answer requests until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.wake_with_parent()
    process.adopt_orphans()
    control = socket.socket(fileno=fd)
    reader = control.makefile("rb")
    for line in reader:
        outcome = _answer(Request.from_dict(json.loads(line)), control)
        if outcome.aborted:
            break
        control.sendall(json.dumps(outcome.as_dict()).encode() + b"\n")
        if outcome.harness:
            break  # the next server begins afresh
    os._exit(0)


def _preload(libraries: Libraries) -> None:
    """Import once what every trial needs, so that its fork has it; open no device and start no thread."""
    first = "harness.trial.replica" not in sys.modules
    if first:
        import harness.trial.replica

        harness.trial.replica.preload(dynamo=libraries == "dynamo")
    if libraries == "ranks":
        from harness.trial import ranks

        ranks.preload()
    if first:
        huge_pages.gather()


def _main(arguments: list[str]) -> None:
    commands: dict[str, Callable[[], None]] = {
        "serve": lambda: _serve(int(arguments[1])),
        "join": _join,
        "work": lambda: _work(Request.from_dict(json.loads(os.environ.pop("JOULEMARK_REQUEST")))),
    }
    commands[arguments[0]]()


if __name__ == "__main__":
    _main(sys.argv[1:])
