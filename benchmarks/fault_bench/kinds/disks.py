"""Small disks: full or without inodes at a random moment, full for a while, read-only."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from benchmarks.fault_bench.judge import Fault, Promise, goes_on, told
from benchmarks.fault_bench.kinds.signals import at_random, command
from benchmarks.fault_bench.world import Running, World

_FULL = "the disk is full|No space left"


def _mounted(world: World, options: str) -> None:
    world.results.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", world.results], check=True)


def _remount(world: World, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", world.results], check=True)


def roomy(world: World) -> None:
    """Give the disk room."""
    _remount(world, "rw,size=64m,nr_inodes=100000")
    (world.results / "filler").unlink(missing_ok=True)


def unmount(world: World) -> None:
    """Take the disk away for good, once its fault is judged."""
    with suppress(OSError):
        while world.results.is_mount():
            subprocess.run(["umount", "-l", world.results], check=True)


def _of_size(options: Callable[[World], str]) -> Callable[[World], Running]:
    def inject(world: World) -> Running:
        _mounted(world, options(world))
        return world.run()

    return inject


def _during(act: Callable[[World], None]) -> Callable[[World], Running]:
    def inject(world: World) -> Running:
        _mounted(world, "size=8m")
        running = world.start()
        if at_random(world, running, command) is not None:
            act(world)
        running.wait()
        return running

    return inject


def _fill(world: World) -> None:
    with suppress(OSError), (world.results / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _fill_for_a_while(world: World) -> None:
    _fill(world)
    (world.results / "filler").unlink()


def _kib(kib: int, _world: World) -> str:
    return f"size={kib}k"


def faults() -> Iterator[Fault]:
    """Yield every kind."""
    full = Promise(frozenset({0, 1, 2}), said=_FULL, records={"harness": "."})
    for kib in (4, 8, 16, 32, 64):
        yield Fault(f"a disk of {kib} KiB", _of_size(partial(_kib, kib)), full, roomy)
    filling = _of_size(lambda w: f"size={w.random.randrange(68, 200, 4)}k")
    yield Fault("a disk that fills up", filling, full, roomy, weight=8)
    few = _of_size(lambda w: f"nr_inodes={w.random.randrange(2, 24)}")
    yield Fault("a disk without inodes", few, full, roomy, weight=8)
    yield Fault("a disk that others fill", _during(_fill), full, roomy, weight=6)
    yield Fault("a disk that is full for a moment", _during(_fill_for_a_while), full, roomy, weight=3)
    yield Fault("a read-only disk", _of_size(lambda _w: "ro"), told("read-only"), roomy)
    yield Fault("a disk of 64 MiB", _of_size(lambda _w: "size=64m"), goes_on())
