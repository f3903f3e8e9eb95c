"""Limits of the shell, on the command and on what it starts."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator

from benchmarks.fault_bench import failing
from benchmarks.fault_bench.judge import Fault, Promise, goes_on, told
from benchmarks.fault_bench.world import Hooks, Running, World

_KIB = 1024
_TOO_LOW: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("NOFILE", (12, 16, 24, 32, 64, 100), "open files"),
    ("FSIZE", (512, _KIB, 64 * _KIB, 2**20), "MiB a file"),
    ("AS", (2**20, 2**28, 2**30), "address space"),
    ("DATA", (2**20, 2**28), "MiB of data"),
    ("STACK", (16 * _KIB, 64 * _KIB), "MiB of stack"),
    ("CPU", (20, 30), "CPU time"),
)
_ENOUGH = (("NOFILE", 256), ("FSIZE", 2**27), ("DATA", 2**34), ("STACK", 2**22), ("CPU", 600), ("CORE", 0))


def _limit(name: str, value: int) -> None:
    which = getattr(resource, f"RLIMIT_{name}")
    resource.setrlimit(which, (value, resource.getrlimit(which)[1]))


def _limited(where: str, name: str, value: int) -> Callable[[World], Running]:
    def inject(world: World) -> Running:
        def limited() -> None:
            failing.disarm()
            _limit(name, value)

        return world.run(hooks=Hooks(**{where: limited}))

    return inject


def _few_processes(value: int) -> Callable[[World], Running]:
    """Run as a user who may start few: the kernel does not count root's."""

    def inject(world: World) -> Running:
        for folder in (world.folder, world.folder / "in", world.folder / "tmp"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)

        def become() -> None:
            _limit("NPROC", value)
            os.setuid(65534)

        return world.run(hooks=Hooks(parent=become))

    return inject


def faults() -> Iterator[Fault]:
    """Yield every kind."""
    for name, values, said in _TOO_LOW:
        for value in values:
            yield Fault(f"RLIMIT_{name} of {value}", _limited("parent", name, value), told(said))
    for name, value in _ENOUGH:
        yield Fault(f"RLIMIT_{name} of {value}", _limited("parent", name, value), goes_on())
    for value in (0, 1, 4, 16):
        yield Fault(f"RLIMIT_NPROC of {value}", _few_processes(value), told("processes and threads"))
    hurt = Promise(frozenset({0, 1}), records={"harness": ".", "oom": ".", "crashed": "SIGXCPU|SIGKILL"},
                   resumes=("run.retry_failed=true",))  # fmt: skip
    for name, value in (("NOFILE", 4), ("NOFILE", 8), ("NOFILE", 12), ("FSIZE", 0), ("FSIZE", 10)):
        for where in ("server", "worker"):
            yield Fault(f"RLIMIT_{name} of {value} in {where}s", _limited(where, name, value), hurt)
    yield Fault("RLIMIT_AS of 1 MiB in workers", _limited("worker", "AS", 2**20), hurt)
