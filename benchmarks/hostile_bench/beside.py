"""What lies beside the records of a folder from elsewhere: submissions, leases, imports, marks, names."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.hostile_bench.case import RESULTS, VALUES, Case, Command, honest, put, rotated
from benchmarks.hostile_bench.records import outputs

_MACHINE = "c" * 64
_STATUS: tuple[Command, ...] = (("status", "demo", *RESULTS),)
_REPORT: tuple[Command, ...] = (("report", "demo", *RESULTS, "--format", "md", "-o", "out/report"),)
_JOBS = {"scheduler": "ray", "job": "1", "of": 2, "blocks": [1, 2], "plan": "a" * 16, "code": {}}
_FILES: dict[str, tuple[str, dict[str, Any], tuple[str, ...], tuple[Command, ...]]] = {
    "a submission": (
        "demo/jobs.json",
        _JOBS,
        ("scheduler", "job", "of", "blocks", "blocks.0", "plan", "code", "code.git_commit", "more"),
        _STATUS,
    ),
    "a lease": (
        "demo/leases/block-1-of-2.json",
        {"block": "1/2", "pid": 1, "token": "t", "node": "n", "job": "1"},
        ("block", "pid", "token", "node", "job", "more"),
        _STATUS,
    ),
    "an import": (
        "foreign/aiperf-aaaaaaaaaaaaaaaa.json",
        {
            "source": "aiperf", "file": "f", "sha256": "a" * 64,
            "results": [{"name": "n", "metric": "m", "value": 1.0, "unit": "s",
                         "comparable_to": "iteration.mean", "n": 1, "facts": {}}],
        },
        (
            "source", "file", "sha256", "labels", "left_out", "results", "results.0", "results.0.name",
            "results.0.metric", "results.0.value", "results.0.unit", "results.0.direction",
            "results.0.comparable_to", "results.0.n", "results.0.facts", "more",
        ),
        (*_REPORT, ("compare", "demo", "foreign/aiperf-aaaaaaaaaaaaaaaa", *RESULTS)),
    ),
    "a mark": (
        f"merged/{'a' * 64}.json",
        {
            "bundle": "b", "sha256": "a" * 64, "label": "inconsistent", "findings": ["x"],
            "machines": [_MACHINE],
        },
        ("bundle", "sha256", "label", "signed_by", "key_id", "machines", "findings", "findings.0", "more"),
        _REPORT,
    ),
    "a certificate": (
        f"certificates/{_MACHINE}/20260101T000000Z-aaaaaaaaaaaaaaaa.json",
        {
            "machine_id": _MACHINE, "code_id": "d" * 64, "device_kind": "cpu", "device_name": "n",
            "driver": None, "made_at": "2026-01-01T00:00:00Z", "wall_s": 1.0, "quick": False,
            "checks": [{"id": "i", "what": "w", "status": "pass"}],
            "ceilings": [{"id": "bandwidth.read", "value": 1e9, "unit": "B/s", "method": "m"}],
        },
        (
            "machine_id", "device_kind", "device_name", "driver", "made_at", "wall_s", "quick", "checks",
            "checks.0.id", "checks.0.measured", "ceilings", "ceilings.0.id", "ceilings.0.value",
            "ceilings.0.unit", "facts", "more",
        ),
        _REPORT,
    ),
}  # fmt: skip
"""By what it is: where it lies, an honest one, its fields, and what reads it."""
_READ: tuple[Command, ...] = (
    *_STATUS,
    *_REPORT,
    ("bundle", "demo", "-o", "out.tar", *RESULTS),
    ("export", "demo", *RESULTS, "--to", "csv", "-o", "out/a.csv"),
)
_LARGE = 17 * 2**20
_SWOLLEN: dict[str, Callable[[Path], object]] = {
    "sparse, of 200 GB": lambda path: _sparse(path, 200 * 10**9),
    "sparse, of 15 MB": lambda path: _sparse(path, 15 * 10**6),
    "empty lists": lambda path: path.write_bytes(b'{"a": [' + b"[]," * (_LARGE // 3 - 10_000) + b"[]]}"),
    "numbers": lambda path: path.write_bytes(b'{"a": [' + b"0," * (_LARGE // 2 - 10_000) + b"0]}"),
    "a long text": lambda path: path.write_bytes(b'{"a": "' + b"x" * (15 * 10**6) + b'"}'),
    "many keys": lambda path: path.write_bytes(
        b"{" + b",".join(b'"%d":0' % n for n in range(1_500_000)) + b"}"
    ),
    "a key twice": lambda path: path.write_bytes(path.read_bytes().replace(b"{", b'{"sweep": "demo", ', 1)),
}
_RECORD = f"demo/{_MACHINE}/{'b' * 16}/r01-a00"
_PLACES = (
    "demo/plan.json",
    f"{_RECORD}/record.json",
    f"{_RECORD}/log.txt",
    f"{_RECORD}/loop.parquet",
    *(f[0] for f in _FILES.values()),
)
_NAMES = {
    "an escape": "\x1b[2Jx", "a line feed": "a\nb", "another way round": "a\u202eb",
    "no UTF-8": os.fsdecode(b"\xff"),
    "of zero width": "a\u200bb", "of full width": "\uff44\uff45\uff4d\uff4f", "decomposed": "e\u0301",
    "a C1 control": "a\x9b2Jb", "markup": "<script>![a](b)", "dots": "...", "an option": "--results",
    "a long name": "x" * 255,
}  # fmt: skip


def cases() -> Iterator[Case]:
    """Yield every case."""
    for what, (place, good, fields, commands) in _FILES.items():
        for field, kind in rotated(fields, list(VALUES), 5):
            plant = _changed(place, good, field, VALUES[kind])
            yield Case(f"{what}: {field} {kind}", plant, commands, check=outputs)
    for place, (kind, write) in itertools.product(_PLACES, _SWOLLEN.items()):
        yield Case(f"{place.rpartition('/')[2]} is {kind}", _swollen(place, write), _READ, check=outputs)
    for depth, (kind, name) in itertools.product(range(4), _NAMES.items()):
        yield Case(f"a folder {depth} deep whose name is {kind}", _named(depth, name), _READ, check=outputs)
    yield Case("a lease of the year 2100", _of_the_future, _STATUS)
    yield Case("leases that lie elsewhere", _leases_elsewhere, _STATUS, check=_untouched)


def _changed(place: str, good: dict[str, Any], field: str, value: Any) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        root = _with(folder)
        told = json.loads(json.dumps(good))
        put(told, field, value)
        _write(root / place, told)

    return plant


def _swollen(place: str, write: Callable[[Path], object]) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        path = _with(folder) / place
        good = next((one[1] for one in _FILES.values() if one[0] == place), None)
        if not path.exists():
            _write(path, good)
        if write is not _SWOLLEN["a key twice"]:
            path.unlink()
        write(path)

    return plant


def _named(depth: int, name: str) -> Callable[[Path], None]:
    """Plant a record below a folder of that name."""

    def plant(folder: Path) -> None:
        root = _with(folder)
        good = (root / _RECORD / "record.json").read_bytes()
        parts = ["demo", _MACHINE, "b" * 16, "r02-a00"]
        parts[depth] = name
        place = root.joinpath(*parts)
        place.mkdir(parents=True)
        (place / "record.json").write_bytes(good)
        (place / name).write_bytes(b"x")

    return plant


def _with(folder: Path) -> Path:
    """Write an honest sweep that was handed to Ray."""
    root = honest(folder).root
    _write(root / "demo/jobs.json", _JOBS)
    return root


def _of_the_future(folder: Path) -> None:
    path = _with(folder) / "demo/leases/block-1-of-2.json"
    _write(path, _FILES["a lease"][1])
    os.utime(path, (4e9, 4e9))


def _leases_elsewhere(folder: Path) -> None:
    root = _with(folder)
    _write(root.parent / "elsewhere" / "block-1-of-2.json", _FILES["a lease"][1])
    os.utime(root.parent / "elsewhere", ns=(0, 0))
    (root / "demo/leases").symlink_to(root.parent / "elsewhere")


def _untouched(folder: Path) -> Iterator[str]:
    if (folder / "in" / "elsewhere").stat().st_mtime_ns:
        yield "something was written through a link"


def _write(path: Path, told: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
