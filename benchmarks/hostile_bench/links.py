"""Links, pipes, devices and folders where a file of a results folder is to be."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.hostile_bench.case import RESULTS, Case, Command, honest

_PLACES = (
    "demo", "demo/plan.json", "demo/.lock", "demo/{machine}", "demo/{machine}/{trial}",
    "demo/{machine}/{trial}/r00-a00", "demo/{machine}/{trial}/r00-a00/record.json",
    "demo/{machine}/{trial}/r00-a00/log.txt", "demo/{machine}/{trial}/r00-a00/loop.parquet",
    "index", "merged", "foreign", "certificates",
)  # fmt: skip
_BECOMES: dict[str, Callable[[Path, Path], object]] = {
    "a link to a file outside": lambda path, outside: path.symlink_to(outside / "secret"),
    "a link to a folder outside": lambda path, outside: path.symlink_to(outside),
    "a link to nothing outside": lambda path, outside: path.symlink_to(outside / "new"),
    "a link to itself": lambda path, _outside: path.symlink_to(path),
    "a hard link to a file outside": lambda path, outside: path.hardlink_to(outside / "secret"),
    "a pipe": lambda path, _outside: os.mkfifo(path),
    "an endless device": lambda path, _outside: path.symlink_to("/dev/zero"),
    "a folder": lambda path, _outside: path.mkdir(),
    "a file that nobody may read": lambda path, _outside: _closed(path.touch, path, 0),
    "a folder that nobody may enter": lambda path, _outside: _closed(path.mkdir, path, 0),
    "a folder that nobody may change": lambda path, _outside: _closed(path.mkdir, path, 0o555),
    "a socket": lambda path, outside: _socket(path, outside.parent / "in" / "s"),
}
_COMMANDS: tuple[Command, ...] = (
    ("status", "demo", *RESULTS),
    ("report", "demo", *RESULTS, "--format", "md", "-o", "out"),
    ("index", "rebuild", *RESULTS),
    ("bundle", "demo", "-o", "out.tar", *RESULTS),
)


def _closed(make: Callable[[], object], path: Path, mode: int) -> None:
    make()
    path.chmod(mode)


def _socket(path: Path, near: Path) -> None:
    """Make a socket in `near`, since its name has at most 107 bytes, and put it in its place."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(near))
    near.rename(path)


def cases() -> Iterator[Case]:
    """Yield every case."""
    for place, (name, become) in itertools.product(_PLACES, _BECOMES.items()):
        if place == "demo" and "outside" in name:
            continue  # a sweep's own folder may be a link; beneath it none is followed
        yield Case(f"{place} is {name}", _planted(place, become), _COMMANDS)


def _planted(place: str, become: Callable[[Path, Path], object]) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        store = honest(folder)
        path = store.root / place.format(machine="c" * 64, trial="b" * 16)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        become(path, folder / "outside")

    return plant
