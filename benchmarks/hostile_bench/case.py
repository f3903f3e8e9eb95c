"""A hostile input: what is written into a fresh folder, and the commands that read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.hostile_bench.guard import wrongs
from harness.records.metrics import make
from harness.records.schema import Record
from harness.records.store import Store, open_store

Command = Sequence[str]
RESULTS = ("--results", "results")


@dataclass(frozen=True)
class Case:
    """One input of some sort."""

    name: str
    plant: Callable[[Path], object]
    """Given the folder of the case: `in/` is where commands run, `outside/` holds what nobody may open."""
    commands: tuple[Command, ...]
    codes: Sequence[int] = range(5)
    """Exit codes that are right."""
    check: Callable[[Path], Iterator[str]] = field(default=lambda _folder: iter(()))
    """Says what is wrong with what the commands wrote."""

    def run(self, folder: Path) -> list[str]:
        """Run it in an empty folder; return what went wrong."""
        (folder / "in").mkdir()
        (folder / "outside").mkdir()
        (folder / "outside" / "secret").write_text("secret")
        self.plant(folder)
        found = wrongs(folder, self.commands, self.codes)
        if sorted(p.name for p in (folder / "outside").iterdir()) != ["secret"]:
            found.append("something was written outside")
        if (folder / "outside" / "secret").read_text() != "secret":
            found.append("what lies outside was changed")
        if sorted(p.name for p in folder.iterdir()) != ["in", "outside"]:
            found.append("something was written beside")
        return [*found, *self.check(folder)]


def honest(folder: Path, sweep: str = "demo", **fields: Any) -> Store:
    """Write two honest records of one trial and their plan into `in/results`."""
    store = open_store(folder / "in" / "results")
    for replica in range(2):
        store.write(record(replica, sweep=sweep, **fields))
    trial = {
        "label": "gpt tiny",
        "work_id": "a" * 16,
        "trial_id": "b" * 16,
        "refusal": None,
        "replicas": 2,
        "overrides": [],
    }
    plan = {"sweep": sweep, "overrides": [], "machine_id": "c" * 64, "code_id": "d" * 64, "trials": [trial]}
    store.write_plan(sweep, plan)
    return store


def record(replica: int, **fields: Any) -> Record:
    """Return an honest record."""
    filled: dict[str, Any] = {
        "sweep": "demo",
        "label": "gpt tiny",
        "work_id": "a" * 16,
        "trial_id": "b" * 16,
        "machine_id": "c" * 64,
        "code_id": "d" * 64,
        "replica": replica,
        "attempt": 0,
        "status": "ok",
        "phase": "done",
        "started_at": "2026-01-01T00:00:00Z",
        "config": {
            "workload": {"name": "gpt"},
            "device": {"kind": "cpu"},
            "measure": {"replicas": 2},
            "price": {"name": "none"},
            "report": {"title": None},
            "overrides": ["workload=gpt"],
        },
        "machine": {},
        "code": {"git_commit": "e" * 40},
        "worker": {"kind": "warm"},
        "metrics": (make("throughput.tokens", 5.0 + replica), make("iteration.mean", 0.1)),
        "evidence": {"timing_flags": [], "steady": True, "iterations": 40, "span_ns": 4_000_000_000},
        "series": {"iteration_s": (0.1, 0.1)},
    }
    return Record(**(filled | fields))


VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "negative": -1,
    "of 400 digits": 10**400,
    "text": "text",
    "empty": "",
    "controls": "\x1b]0;title\x07\x1b[2Jtext\r\n",
    "long": "x" * 100_000,
    "markup": "<script>alert(1)</script>![a](http://example.org/a)|`b`",
    "formula": "=1+1",
    "list": [1, [2], {}],
    "mapping": {"a": {"b": [None]}},
    "path": "../../outside",
}


def rotated(fields: Sequence[str], kinds: Sequence[str], each: int) -> Iterator[tuple[str, str]]:
    """Yield each field with some of the kinds, each kind with some of the fields."""
    for number, name in enumerate(fields):
        for offset in range(each):
            yield name, kinds[(number * each + offset) % len(kinds)]


def put(place: Any, field_path: str, value: Any) -> None:
    """Set one field of plain data, by its path with dots."""
    *parents, last = field_path.split(".")
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    place[int(last) if isinstance(place, list) else last] = value
