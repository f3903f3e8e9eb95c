"""What the shell's limits (`ulimit`) must leave to a sweep, checked before its first trial."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.system.errors import ResourceError

_MIB = 2**20
_LEAST: tuple[tuple[int, str, str, int, int], ...] = (
    (resource.RLIMIT_NOFILE, "open files", "-n", 1, 128),
    (resource.RLIMIT_FSIZE, "MiB a file", "-f", _MIB, 64),
    (resource.RLIMIT_AS, "MiB of address space", "-v", _MIB, 8192),
    (resource.RLIMIT_DATA, "MiB of data", "-d", _MIB, 2048),
    (resource.RLIMIT_STACK, "MiB of stack", "-s", _MIB, 1),
    (resource.RLIMIT_CPU, "s of CPU time a process", "-t", 1, 60),
)
"""The limit, its unit in words, the option of `ulimit`, the unit, and the least of them.

A worker has about 70 files open while torch is imported, and reserves 4 GiB of addresses.
"""
_PROCESSES = 32
"""Processes and threads that a server, a worker and its libraries start, beside a team of threads."""


def require_limits(
    soft_of: Callable[[int], int] = lambda which: resource.getrlimit(which)[0], proc: Path = Path("/proc")
) -> None:
    """Make sure that a sweep can run under this process's limits.

    Raises:
        ResourceError: it cannot; one line says which limit, and how to raise it.
    """
    for said in _too_low(soft_of, proc):
        raise ResourceError(said)


def _too_low(soft_of: Callable[[int], int], proc: Path) -> Iterator[str]:
    for which, words, option, unit, least in _LEAST:
        soft = soft_of(which)
        if soft != resource.RLIM_INFINITY and soft < least * unit:
            yield f"this shell allows {soft // unit} {words}, and a sweep needs {least}: ulimit {option}"
    soft = soft_of(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY and not _may_start_any():
        free, least = soft - _tasks_of(os.getuid(), proc), _PROCESSES + (os.cpu_count() or 1)
        if free < least:
            yield (
                f"this user may start {max(0, free)} more processes and threads, and a sweep needs {least}: "
                "end some, or ulimit -u"
            )


def _may_start_any() -> bool:
    """Return whether the kernel counts this user's processes: it does not for root."""
    return os.geteuid() == 0


def _tasks_of(uid: int, proc: Path) -> int:
    """Count the threads of a user's processes."""
    count = 0
    for entry in proc.iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += sum(1 for _ in (entry / "task").iterdir())
        except OSError:
            continue  # it ended meanwhile
    return count
