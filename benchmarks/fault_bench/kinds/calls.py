"""System calls that fail, in the command, its server or a worker: once, at random, or always."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.fault_bench import failing
from benchmarks.fault_bench.judge import Fault, Promise
from benchmarks.fault_bench.world import Hooks, Running, World

_DISK = ("ENOSPC", "EIO", "EROFS", "EDQUOT")
_OF_COMMAND: dict[str, tuple[str, ...]] = {
    "create": (*_DISK, "EMFILE", "EACCES", "ENFILE", "ENOMEM", "EPERM"),
    "write": (*_DISK, "EFBIG"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "rename": (*_DISK, "EACCES"),
    "mkdir": (*_DISK, "EACCES", "EMLINK"),
    "flock": ("ENOLCK", "EIO"),
    "ftruncate": ("EIO", "EPERM"),
    "open": ("EMFILE", "EACCES", "EIO"),
    "read": ("EIO",),
    "unlink": ("EIO", "EACCES", "EROFS"),
    "fork": ("EAGAIN", "ENOMEM"),
    "socketpair": ("EMFILE", "ENOMEM"),
    "send": ("EPIPE", "ECONNRESET"),
    "recv": ("ECONNRESET", "ENOMEM"),
}
_OF_SERVER: dict[str, tuple[str, ...]] = {
    "fork": ("EAGAIN", "ENOMEM"),
    "pipe": ("EMFILE", "ENFILE"),
    "create": (*_DISK, "EMFILE"),
    "write": ("ENOSPC", "EIO"),
    "send": ("EPIPE",),
    "recv": ("ECONNRESET",),
}
_OF_WORKER: dict[str, tuple[str, ...]] = {
    "create": (*_DISK, "EMFILE", "ENFILE"),
    "write": (*_DISK, "EFBIG"),
    "rename": ("ENOSPC", "EIO"),
}
_LINE = "cannot write records|results|Input/output|space left|memory|files|locked|permitted|quota"
_BY_PATH = {"create", "write", "fsync", "rename", "mkdir", "flock", "ftruncate", "open", "read", "unlink"}


def _failing(where: str, call: str, error: str, *, once: bool) -> Callable[[World], Running]:
    def inject(world: World) -> Running:
        path = "results" if call in _BY_PATH else ""
        after = world.random.randrange(12) if once and where == "parent" else 0
        how: dict[str, Any] = {"path": path, "after": after, "times": 1 if once else 1_000_000}
        arm = partial(failing.arm, call, getattr(errno, error), **how)
        mark = world.folder / "tmp" / "done"

        def first() -> None:
            """Arm the first process of the kind alone: what it met is over when the next one is started."""
            if not mark.exists():
                os.close(os.open(mark, os.O_CREAT))
                arm()

        running = world.run(hooks=Hooks(**{where: first if once and where != "parent" else arm}))
        mark.unlink(missing_ok=True)
        return running

    return inject


def faults() -> Iterator[Fault]:
    """Yield every kind."""
    started = {"interrupted": "interrupted", "harness": "."}
    for call, errors in _OF_COMMAND.items():
        for error in errors:
            for once in (True, False):
                promise = Promise(frozenset({0, 1, 2}), said=_LINE, records=started)
                kind = f"{error} of {call} in the command, {'once' if once else 'always'}"
                yield Fault(kind, _failing("parent", call, error, once=once), promise, weight=1 + once)
    for where, table in (("server", _OF_SERVER), ("worker", _OF_WORKER)):
        for call, errors in table.items():
            for error in errors:
                for once in (True, False):
                    promise = Promise(frozenset({0} if once else {0, 1, 2}), records={"harness": "."})
                    kind = f"{error} of {call} in {where}s, {'once' if once else 'always'}"
                    yield Fault(kind, _failing(where, call, error, once=once), promise)
