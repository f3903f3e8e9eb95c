"""Which other processes use the CPUs now: for advice, never for judging a measurement."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from harness.system.host_counters import PROC
from harness.system.process import descendants_of

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Busy:
    """A process and the CPUs that it used on average."""

    pid: int
    name: str
    """As the kernel keeps it, at most 15 characters; whoever runs it chose it."""
    cpus: float
    mine: bool
    """Whether it is this user's."""


def busiest(seconds: float = 0.5, count: int = 3, proc: Path = PROC) -> list[Busy]:
    """Return the processes beside this one and its own that use most, most first; asleep meanwhile."""
    own = {os.getpid(), os.getppid(), *descendants_of(os.getpid(), proc)}
    before, began = _spent(proc), time.monotonic()
    time.sleep(seconds)
    after, passed = _spent(proc), time.monotonic() - began
    used = {
        pid: (spent - before[pid]) * _TICK_S / passed
        for pid, spent in after.items()
        if pid in before and pid not in own
    }
    most = sorted(used, key=lambda pid: -used[pid])[:count]
    return [Busy(pid, _name(proc, pid), used[pid], _is_mine(proc, pid)) for pid in most if used[pid] >= 0.05]


def _spent(proc: Path) -> dict[int, int]:
    """Return every process's CPU time in ticks of the scheduler's clock."""
    found: dict[int, int] = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                found[int(folder.name)] = int(fields[11]) + int(fields[12])
            except (OSError, IndexError, ValueError):
                continue  # it ended meanwhile
    return found


def _name(proc: Path, pid: int) -> str:
    try:
        raw = (proc / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process that ended"
    return "".join(c if c.isprintable() else "?" for c in raw[:15])


def _is_mine(proc: Path, pid: int) -> bool:
    try:
        return (proc / str(pid)).stat().st_uid == os.getuid()
    except OSError:
        return False
