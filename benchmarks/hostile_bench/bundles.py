"""Bundles: members that lead out, lists that lie, archives that are cut, changed or none."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from benchmarks.hostile_bench.case import VALUES, Case, Command, honest, put
from harness.bundles.archive import MANIFEST, write_bundle

COMMANDS: tuple[Command, ...] = (
    ("verify", "b.tar"),
    ("merge", "b.tar", "--results", "mine"),
    ("status", "demo", "--results", "mine"),
)
_NAMES = (
    "../outside/new",
    "/outside/new",
    "demo/../../outside/new",
    "demo/./plan.json",
    "demo//plan.json",
    "index/trials.parquet",
    "merged/x.json",
    "demo/.lock",
    "demo/x.py",
    "sitecustomize.py",
    "C:\\x",
    "demo\\plan.json",
    "demo/" + "a" * 5000,
    "demo/\x1b[2J",
    "demo/\u202e",
    "reference/plan.json",
)
_TYPES = {
    "a link": tarfile.SYMTYPE,
    "a hard link": tarfile.LNKTYPE,
    "a pipe": tarfile.FIFOTYPE,
    "a device": tarfile.CHRTYPE,
    "a folder": tarfile.DIRTYPE,
    "sparse": tarfile.GNUTYPE_SPARSE,
}
_FIELDS = ("format", "version", "files", "files.demo/plan.json", "more")


def _made(folder: Path) -> bytes:
    store = honest(folder)
    path = folder / "in" / "b.tar"
    write_bundle(store, ["demo"], path)
    return path.read_bytes()


def _changed(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / "in" / "b.tar").write_bytes(change(_made(folder)))


def _added(member: Callable[[Path], tarfile.TarInfo], *, listed: bool) -> Callable[[Path], None]:
    """Return what adds a member to a bundle, listed or not."""

    def plant(folder: Path) -> None:
        one = member(folder)
        content = b"x" * (one.size or 0)

        def list_it(told: dict[str, object]) -> None:
            put(told, "files", {**told["files"], one.name: {"size": one.size, "sha256": "a" * 64}})  # type: ignore[dict-item]

        _rewrite(folder, list_it if listed else None, [(one, content)])

    return plant


def _rewrite(
    folder: Path,
    change: Callable[[dict[str, object]], None] | None,
    more: list[tuple[tarfile.TarInfo, bytes]],
) -> None:
    made = io.BytesIO(_made(folder))
    with tarfile.open(fileobj=made) as old, tarfile.open(folder / "in" / "b.tar", "w") as new:
        for member in old.getmembers():
            file = old.extractfile(member)
            data = b"" if file is None else file.read()
            if member.name == MANIFEST and change is not None:
                told = json.loads(data)
                change(told)
                data = json.dumps(told).encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
        for member, data in more:
            new.addfile(member, io.BytesIO(data))


def _named(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[Path], tarfile.TarInfo]:
    def member(folder: Path) -> tarfile.TarInfo:
        one = tarfile.TarInfo(name)
        one.type, one.linkname = kind, str(folder / "outside" / "secret")
        one.size = 1 if kind == tarfile.REGTYPE else 0
        return one

    return member


def cases() -> Iterator[Case]:
    """Yield every case."""
    for name, listed in itertools.product(_NAMES, (True, False)):
        kind = f"a member {name[:30]!r}, {'listed' if listed else 'not listed'}"
        yield Case(kind, _added(_named(name), listed=listed), COMMANDS, codes=(1, 2, 4))
    for name, kind in _TYPES.items():
        for where in ("demo/plan.json", "demo/log.txt"):
            yield Case(
                f"{where} is {name}", _added(_named(where, kind), listed=True), COMMANDS, codes=(1, 2, 4)
            )
    for field, (name, value) in itertools.product(_FIELDS, VALUES.items()):
        if field == "files" and name == "mapping":
            continue

        def plant(folder: Path, field: str = field, value: object = value) -> None:
            _rewrite(folder, lambda told: _put_listed(told, field, value), [])

        yield Case(f"the list's {field} is {name}", plant, COMMANDS, codes=(1, 2, 4))
    for share in range(1, 20):
        yield Case(f"cut at {share} of 20", _changed(lambda d, s=share: d[: len(d) * s // 20]), COMMANDS)  # type: ignore[misc]
    for number in range(20):
        yield Case(f"random bytes {number}", _changed(_noise(number)), COMMANDS)
    for name, data in (
        ("nothing", b""),
        ("noughts", bytes(10_240)),
        ("text", b"joulemark"),
        ("zip", b"PK\x03\x04"),
    ):
        yield Case(f"a bundle of {name}", _changed(lambda _d, x=data: x), COMMANDS, codes=(1, 2, 4))  # type: ignore[misc]
    yield Case("a compressed bundle", _changed(gzip.compress), COMMANDS, codes=(1, 2, 4))
    yield Case("a bundle twice", _changed(lambda d: d + d), COMMANDS)
    yield Case("a bundle's first half twice", _changed(lambda d: d[: len(d) // 2] * 2), COMMANDS)


def _put_listed(told: dict[str, object], field: str, value: object) -> None:
    if field == "files.demo/plan.json":
        told["files"]["demo/plan.json"] = value  # type: ignore[index]
    else:
        told[field] = value


def _noise(number: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        random, changed = Random(number), bytearray(data)
        for _ in range(8):
            changed[random.randrange(len(changed))] = random.randrange(256)
        return bytes(changed)

    return change
