"""Folders and files that are renamed, deleted, replaced, damaged or left behind, and two runs at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.fault_bench.judge import Fault, Promise, ended, goes_on, told
from benchmarks.fault_bench.kinds.signals import at_random, command
from benchmarks.fault_bench.world import SWEEP, Running, World

_MOVED = "was renamed, deleted or replaced|cannot write|No such file|not a folder"
Act = Callable[[World], None]


def _part(world: World, depth: int) -> Path:
    """Return the results folder, the sweep's, a machine's, a trial's or an attempt's."""
    path = world.results
    if depth:
        path /= SWEEP
    for _ in range(depth - 1):
        path = next(p for p in sorted(path.iterdir(), reverse=True) if p.is_dir())
    return path


def _during(act: Act) -> Callable[[World], Running]:
    def inject(world: World) -> Running:
        running = world.start()
        if at_random(world, running, command) is not None:
            with suppress(OSError, StopIteration):  # what was to be changed is gone, or not there yet
                act(world)
        running.wait()
        return running

    return inject


def _renamed(depth: int) -> Act:
    return lambda world: shutil.move(_part(world, depth), world.folder / "moved")


def _deleted(depth: int) -> Act:
    return lambda world: shutil.rmtree(_part(world, depth), ignore_errors=True)


def _replaced(depth: int, by: str) -> Act:
    def act(world: World) -> None:
        path = _part(world, depth)
        shutil.move(path, world.folder / "moved")
        if by == "a folder":
            path.mkdir()
        elif by == "a file":
            path.touch()
        else:
            path.symlink_to(world.folder / "moved")

    return act


def _back(depth: int) -> Act:
    def mend(world: World) -> None:
        moved = world.folder / "moved"
        if not moved.exists():
            return
        path = world.results / (SWEEP if depth else "")
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)
        shutil.move(moved, path)

    return mend


def _lock(world: World) -> Path:
    return world.results / SWEEP / ".lock"


def _lock_deleted(world: World) -> Running:
    """Delete the lock of a run, then begin another one at once."""
    first = world.start()
    if at_random(world, first, command) is not None:
        _lock(world).unlink()
    second = world.run()
    first.wait()
    assert first.code == 0, first.err[-300:]
    return second


def _two(world: World) -> Running:
    first, second = world.start(), world.start()
    codes = {first.wait(), second.wait()}
    assert 0 in codes, (first.err[-300:], second.err[-300:])
    return first if second.code == 0 else second


def _six(world: World) -> Running:
    runs = [world.start() for _ in range(6)]
    codes = [run.wait() for run in runs]
    assert 0 in codes, [run.err[-200:] for run in runs]
    return next((run for run in runs if run.code != 0), runs[0])


def _before(act: Act) -> Callable[[World], Running]:
    """Return what spoils a folder in which one sweep has run already."""

    def inject(world: World) -> Running:
        assert world.run().code == 0
        act(world)
        return world.run()

    return inject


def _some_record(world: World) -> Path:
    return world.random.choice(sorted(world.records()))


def _plan(world: World) -> Path:
    return world.results / SWEEP / "plan.json"


def _write_plan(text: str, world: World) -> None:
    _plan(world).write_text(text)


def _spoil(change: Callable[[bytes], bytes], world: World) -> None:
    path = _some_record(world)
    path.write_bytes(change(path.read_bytes()))


_SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "emptied": lambda _data: b"",
    "of noughts": lambda data: bytes(len(data)),
}
_LOCKS: dict[str, Callable[[Path, World], None]] = {
    "a folder": lambda path, _world: path.mkdir(),
    "a link out": lambda path, world: path.symlink_to(world.folder / "in" / "x"),
    "a pipe": lambda path, _world: os.mkfifo(path),
}


def _planted(world: World) -> Running:
    """Leave what killed runs leave: temporary files of a record, a plan, a probe; an agent's folder."""
    sweep = world.results / SWEEP
    attempt = sweep / ("a" * 64) / ("b" * 16) / "r00-a00"
    (attempt / ".agent-x" / "deep").mkdir(parents=True)
    for path in (attempt / ".record.json.tmp", attempt / ".loop.parquet.tmp", sweep / ".plan.json.77.tmp",
                 world.results / ".probe-999999"):  # fmt: skip
        path.write_text("half")
    return world.run()


def _results_is(make: Act) -> Callable[[World], Running]:
    def inject(world: World) -> Running:
        (world.folder / "in").mkdir()
        make(world)
        return world.run()

    return inject


def _outside(world: World) -> None:
    (world.folder / "moved").mkdir()
    world.results.mkdir()
    (world.results / SWEEP).symlink_to(world.folder / "moved")


def _unlink_results(world: World) -> None:
    for path in (world.results, world.results / SWEEP, _lock(world)):
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
    if _lock(world).is_dir():
        _lock(world).rmdir()


def _tmp(world: World) -> None:
    (world.folder / "tmp").mkdir(exist_ok=True)


def _lock_is(make: Callable[[Path, World], None]) -> Callable[[World], Running]:
    def act(world: World) -> None:
        (world.results / SWEEP).mkdir(parents=True)
        make(_lock(world), world)

    return _results_is(act)


def _home(world: World) -> None:
    inside, moved = world.folder / "in", world.folder / "moved"
    if moved.exists():
        shutil.rmtree(inside, ignore_errors=True)
        moved.rename(inside)


def faults() -> Iterator[Fault]:
    """Yield every kind."""
    yield from _moves()
    yield from _rivals()
    yield from _damages()
    yield from _strange()


def _moves() -> Iterator[Fault]:
    for depth, name in ((0, "results folder"), (1, "sweep's folder")):
        either = Promise(frozenset({0, 2}), said=_MOVED, lasting=False)
        yield Fault(f"the {name} is renamed", _during(_renamed(depth)), either, _back(depth), weight=4)
        yield Fault(f"the {name} is deleted", _during(_deleted(depth)), either, weight=4)
        for by in ("a folder", "a file", "a link"):
            kind = f"the {name} is replaced by {by}"
            yield Fault(kind, _during(_replaced(depth, by)), either, _back(depth), weight=3)
    loose = Promise(frozenset({0, 1, 2}), said=_MOVED, records={"harness": "."}, lasting=False, audited=False)
    for depth, name in ((2, "machine's folder"), (3, "trial's folder"), (4, "attempt's folder")):
        yield Fault(f"the {name} is deleted", _during(_deleted(depth)), loose, weight=3)
        yield Fault(f"the {name} is renamed", _during(_renamed(depth)), loose, weight=2)
    gone = ended(0, 2, said="tmp|temporary|No such file")
    without = _during(lambda w: shutil.rmtree(w.folder / "tmp"))
    yield Fault("the folder for temporary files is deleted", without, gone, _tmp)
    elsewhere = _during(lambda w: (w.folder / "in").rename(w.folder / "moved"))
    moved = Promise(frozenset({0, 2}), said=_MOVED, lasting=False)
    yield Fault("the working folder is renamed", elsewhere, moved, _home)


def _rivals() -> Iterator[Fault]:
    busy = Promise(frozenset({0, 2}), said="another run of this sweep is going on")
    yield Fault("the lock is deleted, and a second run begins", _lock_deleted, busy, weight=4)
    yield Fault("two runs at once", _two, busy, weight=3)
    yield Fault("six runs at once", _six, busy)
    yield Fault("the lock is deleted", _during(lambda w: _lock(w).unlink()), goes_on())


def _damages() -> Iterator[Fault]:
    yield Fault("temporary files of killed runs", _planted, goes_on())
    spoilt = Promise(frozenset({0}), resumes=None, audited=False)
    for name, change in _SPOILT.items():
        yield Fault(f"a record is {name}", _before(partial(_spoil, change)), spoilt)
    without = Promise(frozenset({0}), audited=False)
    yield Fault("a record is deleted", _before(lambda w: _some_record(w).unlink()), without)
    yield Fault("the plan is deleted", _before(lambda w: _plan(w).unlink()), goes_on())
    for name, text in (("garbage", "{"), ("empty", ""), ("a list", "[]")):
        yield Fault(f"the plan is {name}", _before(partial(_write_plan, text)), goes_on())


def _strange() -> Iterator[Fault]:
    """Yield what lies where the results folder, the sweep's folder or its lock is to be."""
    file = _results_is(lambda w: w.results.touch())
    yield Fault("the results folder is a file", file, told("folder"), _unlink_results)
    link = _results_is(_outside)
    yield Fault("the sweep's folder is a link out", link, told("leads out"), _unlink_results)
    for name, make in _LOCKS.items():
        yield Fault(f"the lock is {name}", _lock_is(make), told("plain file"), _unlink_results)
