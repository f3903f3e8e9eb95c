"""The few Linux calls that isolate a worker: parent-death signals, limits, and finding what it left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time
from pathlib import Path

PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def wake_with_parent() -> None:
    """Ask the kernel to continue this process when its parent ends: one that is stopped tidies up nothing."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none escapes."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def volunteer_for_oom_kill() -> None:
    """Make the kernel choose this process, not the harness, when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_memory(extra_bytes: int) -> None:
    """Let this process take at most `extra_bytes` of private memory beyond what it has now."""
    held = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            held = int(line.split()[1]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    least = held + extra_bytes if hard == resource.RLIM_INFINITY else min(held + extra_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))


def available_memory_bytes() -> int:
    """Return the memory that a new process can take: what is free, or what the cgroup still allows."""
    free = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable:")
    )
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        free = min(free, limit - used)
    return free


def oom_kills() -> int:
    """Return how many processes the kernel has killed for memory since it started."""
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _children_of(pid: int, proc: Path = PROC) -> list[int]:
    """Return the direct children of a process, zombies included."""
    # Asked around every span: a `Path` takes longer to make than such a file to read.
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"{proc}/{pid}/task"):  # noqa: PTH208
            with contextlib.suppress(OSError), open(f"{proc}/{pid}/task/{task}/children") as file:  # noqa: PTH123
                found += [int(child) for child in file.read().split()]
    return found


def descendants_of(pid: int, proc: Path = PROC) -> list[int]:
    """Return all descendants of a process, nearest first."""
    found: list[int] = []
    todo = [pid]
    while todo:
        children = _children_of(todo.pop(0), proc)
        found += children
        todo += children
    return found


def state_of(pid: int, proc: Path = PROC) -> str:
    """Return a process's state as the kernel's letter, `T` where a signal stopped it; `Z` once it is gone."""
    try:
        with open(f"{proc}/{pid}/stat") as file:  # noqa: PTH123
            stat = file.read()
    except OSError:
        return "Z"
    return stat.rpartition(")")[2].split()[0]


def kill_marked(mark: str) -> int:
    """Kill the descendants of this process that were started with `mark` in their environment; count them."""
    killed = 0
    for _ in range(50):
        left = [pid for pid in descendants_of(os.getpid()) if _carries(pid, mark)]
        if not left:
            break
        for pid in left:
            kill(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        killed += len(left)
        time.sleep(0.01)
    return killed


def _carries(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False  # gone, or another user's


def kill(pid: int) -> None:
    """Kill a process, and its group when it leads one; gone already is fine."""
    for send in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if send is os.kill or os.getpgid(pid) == pid:
                send(pid, signal.SIGKILL)
