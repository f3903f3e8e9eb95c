"""Run commands on a hostile input in a forked process, and see what they did beyond reading it.

Python tells an audit hook of every file that it opens and every process that it starts. What is opened
through a link counts by where the link leads.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cli import main

LIMIT_S = 5.0
"""Of CPU time, for all commands on one input."""
GIVE_UP_S = 60.0
LIMIT_BYTES = 512 * 2**20
_RUNS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "pty.spawn",
    "pickle.find_class",
)
_OURS = frozenset({"git", "c++", "cc"})
"""Programs that tell what code and compiler this is, whatever the input."""
_REACHES = ("socket.connect", "socket.getaddrinfo", "urllib.Request")
_CHANGES = {
    "os.remove": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.chown": 1,
    "shutil.rmtree": 1,
    "shutil.move": 2,
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES = ("/dev/null", "/dev/tty")


class Watch:
    """An audit hook that notes what leaves a folder."""

    def __init__(self, folder: Path) -> None:
        self._inside, self._outside = str(folder / "in"), str(folder / "outside")
        self.noted: list[str] = []
        self._busy = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take one event; what this itself asks of the file system is none."""
        if self._busy:
            return
        self._busy = True
        try:
            self._note(event, arguments)
        finally:
            self._busy = False

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and Path(os.fsdecode(arguments[0])).name in _OURS:
            return
        if event in _RUNS:
            self.noted.append(f"ran {arguments[:2]!r}"[:200])
        elif event in _REACHES:
            self.noted.append(f"reached {arguments!r}"[:200])
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, _, flags = arguments
            where = _leads_to(Path(os.fsdecode(path)), flags)
            if where.startswith(self._outside):
                self.noted.append(f"opened {where}")
            elif isinstance(flags, int) and flags & _WRITES and not self._is_inside(where):
                self.noted.append(f"wrote {where}")
        elif event in _CHANGES:
            for path in arguments[: _CHANGES[event]]:
                # A link that is removed or renamed is changed itself, not where it leads.
                if isinstance(path, int):
                    continue
                changed = Path(os.fsdecode(path))
                if not self._is_inside(str(Path(os.path.realpath(changed.parent)) / changed.name)):
                    self.noted.append(f"{event} {os.fsdecode(path)}"[:200])

    def _is_inside(self, where: str) -> bool:
        return where.startswith(self._inside) or where in _DEVICES


def _leads_to(path: Path, flags: Any) -> str:
    """Return where an open leads; one that follows no link stays where the last part stands."""
    if isinstance(flags, int) and flags & os.O_NOFOLLOW:
        return str(Path(os.path.realpath(path.parent)) / path.name)
    return os.path.realpath(path)


def wrongs(folder: Path, commands: Sequence[Sequence[str]], codes: Sequence[int] = range(5)) -> list[str]:
    """Run commands one after another in a process of their own; return what each did wrong.

    Args:
        folder: of the case; commands may write below `in/`, and open nothing of `outside/`.
        commands: their words.
        codes: exit codes that are right.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        with os.fdopen(write, "w") as told:
            json.dump(_run(folder, commands, codes), told)
        os._exit(0)
    os.close(write)
    deadline = time.monotonic() + GIVE_UP_S
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.005)
    _, status, usage = os.wait4(pid, 0)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    if os.WIFSIGNALED(status) or not text:
        return [f"ended by {signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status}"]
    found: list[str] = json.loads(text)
    if usage.ru_utime + usage.ru_stime > LIMIT_S:
        found.append(f"took {usage.ru_utime + usage.ru_stime:.1f} s of CPU time")
    grown = (usage.ru_maxrss - resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
    if grown > LIMIT_BYTES:
        found.append(f"took {grown >> 20} MiB")
    return found


def _obey_permissions() -> None:
    """Let this process open what its user may, also where that user is root."""
    libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if not libc.capget(header, sets):
        for place in range(3):  # effective, permitted, inheritable
            sets[place] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.capset(header, sets)


def _run(folder: Path, commands: Sequence[Sequence[str]], codes: Sequence[int]) -> list[str]:
    inside = folder / "in"
    for name in ("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        (inside / "own").mkdir(exist_ok=True)
        os.environ[name] = str(inside / "own")
    os.chdir(inside)
    _obey_permissions()
    import tempfile

    tempfile.tempdir = None
    watch, found = Watch(folder), []
    sys.addaudithook(watch.hook)
    for words in commands:
        watch.noted.clear()
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                code = main(list(words))
        except BaseException as error:  # noqa: BLE001 - whatever escapes is what is looked for
            found.append(f"{words[0]}: {type(error).__name__}: {str(error)[:100]}")
            continue
        found += [f"{words[0]}: {said}" for said in watch.noted]
        if code not in codes:
            found.append(f"{words[0]}: exit code {code}: {printed.getvalue()[-200:]!r}")
        if "this is a fault of Joulemark" in printed.getvalue():
            found.append(f"{words[0]}: {printed.getvalue()[-300:]!r}")
        if any(c in printed.getvalue() for c in "\x1b\x07\u202e\u2066"):
            found.append(f"{words[0]}: printed what steers a terminal")
        if any(line.lstrip().startswith("::") or "##[" in line for line in printed.getvalue().splitlines()):
            found.append(f"{words[0]}: printed what commands a CI")
    watch.noted.clear()
    return found
