"""What surrounds a sweep: streams, clock, modules where it starts, compiler, the monitor's clients."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.fault_bench import failing
from benchmarks.fault_bench.judge import Fault, Promise, goes_on, told
from benchmarks.fault_bench.world import SHORT, WORDS, Hooks, Running, World

_DAY_S = 86_400
_SHADOWS = [
    "random",
    "numpy",
    "queue",
    "json",
    "torch",
    "socket",
    "typing",
    "selectors",
    "hydra",
    "yaml",
    "harness",
    "workloads",
]

_CLOCKS = {
    "in 2099": 73 * 365 * _DAY_S,
    "of 1970": -56 * 365 * _DAY_S,
    "an hour ahead": 3600,
    "a day behind": -_DAY_S,
}
_WORK = {"raise": "asked for", "exit": "code 7", "kill": "SIGKILL", "segfault": "SIGSEGV", "orphan": "exited"}


def _closed(*numbers: int) -> Callable[[World], Running]:
    """Return what starts the real command without these standard streams."""
    shell = 'exec "$@" ' + " ".join(f"{number}>&-" for number in numbers)
    return lambda world: world.run(real=True, through=("sh", "-c", shell, "sh"))


def _streams(*numbers: int, to: str) -> Callable[[World], Running]:
    """Lead standard streams to a file, or to a pipe without a reader."""

    def spoil() -> None:
        for number in numbers:
            if to == "a broken pipe":
                read, write = os.pipe()
                os.dup2(write, number)
                os.close(read)
                os.close(write)
            else:
                os.dup2(os.open(to, os.O_RDWR), number)
        # What Python knows of a stream is what it was opened on.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))

    return lambda world: world.run(hooks=Hooks(parent=spoil))


def _clock(seconds: int, where: str) -> Callable[[World], Running]:
    def moved() -> None:
        failing.disarm()
        failing.move_clock(seconds)

    return lambda world: world.run(hooks=Hooks(**{where: moved}))


def _shadowed(world: World) -> Running:
    """Start the installed command where files lie that are named as modules, and note which of them ran."""
    inside = world.folder / "in"
    inside.mkdir()
    (world.folder / "tmp").mkdir()
    for name in _SHADOWS:
        (inside / f"{name}.py").write_text(f"open('ran-{name}', 'w')\nraise SystemExit(9)\n")
    running = _installed(world, {})
    ran = [path.name for path in inside.glob("ran-*")]
    assert not ran, ran
    return running


def _installed(world: World, environment: dict[str, str], words: tuple[str, ...] = WORDS) -> Running:
    number = len(world.started)
    with (world.folder / f"out{number}").open("w") as out, (world.folder / f"err{number}").open("w") as err:
        pid = subprocess.Popen(
            [str(Path(sys.executable).with_name("joulemark")), "run", *words],
            cwd=world.folder / "in", stdout=out, stderr=err,
            env={**os.environ, **world.environment, **environment},
        ).pid  # fmt: skip
    world.started.append(Running(pid, world.folder, number))
    world.started[-1].wait()
    return world.started[-1]


def _slow_compiler(world: World) -> Running:
    """Measure, then give the same command beside a compiler that takes seconds to tell its version."""
    for name in ("in", "tmp"):
        (world.folder / name).mkdir()
    first = _installed(world, {})
    assert first.code == 0, first.err
    slow = world.folder / "in" / "slow"
    slow.mkdir()
    for name in ("c++", "cc"):
        if real := shutil.which(name):
            (slow / name).write_text(f'#!/bin/sh\nsleep 6\nexec {real} "$@"\n')
            (slow / name).chmod(0o755)
    before = world.records()
    second = _installed(world, {"PATH": f"{slow}:{os.environ['PATH']}"})
    assert world.records() == before, "measured again as other code"
    return second


def _damaged(damage: Callable[[Path], object]) -> Callable[[World], Running]:
    """Measure what loads our C kernels, damage each library in the cache, and measure more."""

    def inject(world: World) -> Running:
        for name in ("in", "tmp"):
            (world.folder / name).mkdir()
        own = {"XDG_CACHE_HOME": str(world.folder / "state")}
        decode = ("workload=gpt", "workload.size=tiny", "workload.mode=decode", *SHORT)
        first = _installed(world, own, (*decode, "seed=1"))
        assert first.code == 0, first.err
        libraries = sorted((world.folder / "state" / "joulemark").glob("*.so"))
        assert libraries, "nothing was built"
        for library in libraries:
            damage(library)
        second = _installed(world, own, (*decode, "seed=1,2"))
        assert len(world.records()) == 2, second.err
        for library in libraries:
            digest = hashlib.sha256(library.read_bytes()).hexdigest()
            assert library.with_suffix(".sha256").read_text() == digest, f"{library.name} was not built again"
        return second

    return inject


def _another(library: Path) -> None:
    """Put a library in its place that loads, and has none of its functions."""
    empty = library.with_name("empty.c")
    empty.write_text("int joulemark_nothing;\n")
    subprocess.run(["cc", "-shared", "-fPIC", str(empty), "-o", str(library)], check=True)
    empty.unlink()


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def damage(library: Path) -> None:
        library.unlink()
        make(library)

    return damage


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda library: os.truncate(library, library.stat().st_size // 2),
    "empty": lambda library: os.truncate(library, 0),
    "with a byte changed": lambda library: library.write_bytes(
        (data := library.read_bytes())[: len(data) // 2] + b"\xcc" + data[len(data) // 2 + 1 :]
    ),
    "zeros": lambda library: library.write_bytes(bytes(library.stat().st_size)),
    "another library": _another,
    "without its digest": lambda library: library.with_suffix(".sha256").unlink(),
    "a link to nothing": _replaced(lambda library: library.symlink_to("nothing")),
    "deleted": lambda library: library.unlink(),
}


def _monitored(act: Callable[[int], None]) -> Callable[[World], Running]:
    def inject(world: World) -> Running:
        running = world.start("run.monitor=true", "run.monitor_port=0")
        if world.until(lambda: re.search(r"127\.0\.0\.1:(\d+)", running.err), running):
            port = int(re.search(r"127\.0\.0\.1:(\d+)", running.err)[1])  # type: ignore[index]
            with suppress(OSError):
                act(port)
        running.wait()
        return running

    return inject


def _idle_clients(port: int) -> None:
    clients = [socket.create_connection(("127.0.0.1", port), timeout=2) for _ in range(100)]
    for client in clients:
        with suppress(OSError):
            client.sendall(b"GET /metrics HTT")
    time.sleep(0.2)
    for client in clients:
        client.close()


def _garbage(port: int) -> None:
    for data in (
        b"\0" * 70_000,
        b"GET " + b"/" * 70_000,
        b"\xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500,
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(data)


def _port_taken(world: World) -> Running:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return world.run("run.monitor=true", f"run.monitor_port={taken.getsockname()[1]}")


def _fault_of_work(fault: str, at: str) -> Callable[[World], Running]:
    words = ("workload=faults", *(word for word in WORDS if not word.startswith(("workload=", "seed="))))
    return lambda world: world.run(f"workload.shape.fault={fault}", f"workload.shape.at={at}", words=words)


def faults() -> Iterator[Fault]:
    """Yield every kind."""
    for numbers, name in (((1,), "standard output"), ((2,), "standard error"), ((0, 1, 2), "all streams")):
        yield Fault(f"{name} closed", _closed(*numbers), goes_on())
        for to, how in (("/dev/full", "full"), ("a broken pipe", "without a reader")):
            yield Fault(f"{name} {how}", _streams(*numbers, to=to), goes_on())
    wrong = Promise(frozenset({0}), audited=False)
    for name, seconds in _CLOCKS.items():
        for where in ("parent", "server", "worker"):
            yield Fault(f"the clock of the {where} is {name}", _clock(seconds, where), wrong)
    yield Fault("files named as modules where it starts", _shadowed, goes_on())
    yield Fault("a compiler that tells its version slowly", _slow_compiler, goes_on())
    for how, damage in _DAMAGES.items():
        kept = Promise(frozenset({0}), resumes=None)
        yield Fault(f"a library in the cache is {how}", _damaged(damage), kept)
    yield Fault("a hundred idle clients of the monitor", _monitored(_idle_clients), goes_on(), weight=2)
    yield Fault("garbage to the monitor", _monitored(_garbage), goes_on(), weight=2)
    yield Fault("the monitor's port is taken", _port_taken, told("run.monitor_port"))
    for fault, reason in _WORK.items():
        for at in ("build", "step"):
            crashed = Promise(frozenset({1}), records={"crashed": reason}, resumes=None)
            yield Fault(f"work that ends by {fault} at {at}", _fault_of_work(fault, at), crashed)
