"""Failing system calls: `failing.c`, built when the bench begins and loaded before libc."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("failing.c")
_LOADED = "JOULEMARK_FAILING"


def load_first(folder: Path) -> None:
    """Start this process again with the library before libc, unless it is there."""
    if os.environ.get(_LOADED):
        Path(os.environ.pop("LD_PRELOAD")).unlink()  # what this process starts is not to have it
        return
    built = folder / f"joulemark-failing-{os.getpid()}.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-w", "-o", str(built), str(SOURCE), "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(built), _LOADED: "1"}
    os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 - this program again


def arm(call: str, error: int, *, after: int = 0, times: int = 1_000_000, path: str = "") -> None:
    """Let a call fail in this process and those that it forks from now on."""
    _library().fault_arm(call.encode(), error, ctypes.c_long(after), ctypes.c_long(times), path.encode())


def disarm() -> None:
    """Let every call be as it is."""
    _library().fault_disarm()


def move_clock(seconds: int) -> None:
    """Set the wall clock of this process, and of those that it forks, forward or back."""
    _library().fault_clock(ctypes.c_long(seconds))


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)  # its names are the process's own
