"""One fault's world: a fresh folder, and a sweep in processes forked from this one.

This process has imported torch and the harness, so that a sweep costs a fork and no import. A sweep that is
to be the real command, with processes that are executed anew, says so (`real=True`).
"""

# ruff: noqa: SLF001 - servers are forked in place of being executed, which only their own parts can do

from __future__ import annotations

import codecs
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fault_bench import failing
from harness.bundles import work_audit
from harness.system import process

SWEEP = "noop"
SHORT = (
    *("device=cpu", "power=none", "measure=quick", "measure.seconds=0.01", "measure.warmup_s=0"),
    *("measure.warmup_cap_s=0.02", "measure.steady_window_s=0.005", "measure.replicas=1"),
    *("measure.max_replicas=1", "run.remeasure=0", f"run.name={SWEEP}", "run.timeout_s=60"),
)
WORDS = ("workload=noop", "seed=1,2,3", *SHORT)
PLANNED = 3
"""Replicas of `WORDS`."""
_GIVE_UP_S = 120.0


@dataclass
class Hooks:
    """What a fault does inside the sweep's processes, called in each before it begins."""

    parent: Callable[[], Any] = lambda: None
    server: Callable[[], Any] = failing.disarm
    worker: Callable[[], Any] = lambda: None


@dataclass
class Running:
    """A sweep's process."""

    pid: int
    folder: Path
    number: int
    code: int | None = None

    def wait(self, limit_s: float = _GIVE_UP_S) -> int | None:
        """Return its exit code, negative for a signal; None where it did not end in time."""
        deadline = time.monotonic() + limit_s
        while self.code is None and time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.01)
        return self.code

    @property
    def err(self) -> str:
        """What it wrote to standard error."""
        return (self.folder / f"err{self.number}").read_text(errors="replace")


@dataclass
class World:
    """Where one fault happens."""

    folder: Path
    random: Random
    started: list[Running] = field(default_factory=list)

    @property
    def results(self) -> Path:
        """The results folder."""
        return self.folder / "in" / "results"

    @property
    def environment(self) -> dict[str, str]:
        """What its commands have of their own: a journal and a folder for temporary files."""
        own = {"TMPDIR": str(self.folder / "tmp"), "XDG_STATE_HOME": str(self.folder / "state")}
        return own | {"COLUMNS": "200"}

    def start(
        self,
        *more: str,
        words: tuple[str, ...] = WORDS,
        hooks: Hooks | None = None,
        real: bool = False,
        through: tuple[str, ...] = (),
    ) -> Running:
        """Start a sweep and return at once; the real command `through` another one, as a shell."""
        inside = self.folder / "in"
        for each in (inside, self.folder / "tmp"):
            each.mkdir(exist_ok=True)
        number = len(self.started)
        environment = self.environment
        arguments = ["run", *words, *more]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        streams = [os.open(self.folder / f"{name}{number}", flags) for name in ("out", "err")]
        if real:
            pid = subprocess.Popen(
                [*through, sys.executable, "-m", "harness.cli", *arguments],
                cwd=inside, env={**os.environ, **environment}, stdout=streams[0], stderr=streams[1],
                start_new_session=True,
            ).pid  # fmt: skip
        else:
            pid = os.fork()
            if pid == 0:
                _become_command(inside, environment, arguments, streams, hooks or Hooks())
        for stream in streams:
            os.close(stream)
        self.started.append(Running(pid, self.folder, number))
        return self.started[-1]

    def run(self, *more: str, **how: Any) -> Running:
        """Run a sweep to its end."""
        running = self.start(*more, **how)
        running.wait()
        return running

    def logs(self) -> list[Path]:
        """Return the logs of attempts: one appears when a worker is watched."""
        return list(self.results.glob(f"{SWEEP}/*/*/*/log.txt"))

    def records(self) -> dict[Path, bytes]:
        """Return what finished records hold, by path."""
        return {path: path.read_bytes() for path in self.results.glob(f"{SWEEP}/*/*/*/record.json")}

    def until(self, what: Callable[[], Any], running: Running, limit_s: float = 60.0) -> bool:
        """Wait until something holds; False where the sweep ended or the time was over before."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if what():
                return True
            if running.wait(0.005) is not None:
                return bool(what())
        return False

    def pids(self, running: Running) -> tuple[int | None, int | None]:
        """Return the process ids of a sweep's server and worker, None for one that is not there."""
        servers = [p for p in process.descendants_of(running.pid) if process.state_of(p) != "Z"]
        server = servers[0] if servers else None
        workers = process.descendants_of(server) if server else []
        return server, (workers[0] if workers else None)


def left_over() -> list[int]:
    """Return the live processes beneath this one: the sweep's, once it has ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return [pid for pid in process.descendants_of(os.getpid()) if process.state_of(pid) != "Z"]


def orphans(within_s: float = 10.0) -> list[int]:
    """Wait for what is still ending; return what stays, and end it."""
    deadline = time.monotonic() + within_s
    while (found := left_over()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in found:
        process.kill(pid)
    return found


def _become_command(
    inside: Path, environment: dict[str, str], arguments: list[str], streams: list[int], hooks: Hooks
) -> None:
    """Be the command in this forked process."""
    code = 1
    try:
        os.setsid()
        os.chdir(inside)
        os.environ.update(environment)
        import tempfile

        from harness import cli, worker

        tempfile.tempdir = None
        for target, stream in zip((1, 2), streams, strict=True):
            os.dup2(stream, target)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        sys.argv = ["joulemark", *arguments]
        _fork_servers(hooks)
        work = worker._work

        def hooked(request: Any) -> None:
            hooks.worker()
            work(request)

        worker._work = hooked
        hooks.parent()
        code = cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 2
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


class _Forked:
    """A forked server, with what `harness.isolation.workers` uses of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("server", timeout or 0)
            time.sleep(0.005)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _fork_servers(hooks: Hooks) -> None:
    import socket

    from harness import worker
    from harness.isolation import workers

    def start(_self: Any, _wait: str) -> Any:
        process.adopt_orphans()
        mine, its = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(its.fileno(), 3, inheritable=True)
            os.closerange(4, 1024)  # as after an exec: locks are not the server's
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            try:
                hooks.server()
                worker._serve(3)
            finally:
                os._exit(1)
        its.close()
        return workers._Server(_Forked(pid), mine, "no-such-mark")  # type: ignore[arg-type]

    workers.Workers._start = start  # type: ignore[method-assign]


def prepare() -> None:
    """Import what a sweep needs, plan and identify once, and adopt whatever is orphaned beneath."""
    import harness.trial.replica
    from harness import worker  # noqa: F401
    from harness.cli.commands import run
    from harness.execution.host_watch import HostWatch
    from harness.identity.machine import identify

    codecs.lookup("ascii")  # loaded now: not every user may read the folder of Python's library
    harness.trial.replica.preload()
    identity, plan, planned = identify(), run.make_plan, {}

    def plan_once(overrides: list[str], **how: Any) -> Any:
        key = tuple(overrides)
        if key not in planned:
            planned[key] = plan(overrides, **how)
        return planned[key]

    plan_once(list(WORDS), user_folders=[])
    run.make_plan, run.identify = plan_once, lambda: identity
    HostWatch.before = lambda *_: False  # type: ignore[method-assign, assignment]
    _count_once()
    process.adopt_orphans()
    ctypes.CDLL(None).malloc_trim(0)


def _count_once() -> None:
    """Let the audits after all faults, which are of the same work, count it in one process."""
    count, counted = work_audit.count, dict[str, Any]()

    def once(works: Sequence[Any]) -> Any:
        asked = repr(works)
        if asked not in counted:
            counted[asked] = count(works)
        return counted[asked]

    work_audit.count = once


def named(pairs: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Return what is yielded as a dictionary, each name once."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        assert name not in found, name
        found[name] = value
    return found
