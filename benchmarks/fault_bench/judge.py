"""What must hold after a fault, whatever it was, and what its kind promises besides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fault_bench.world import PLANNED, SWEEP, Running, World, orphans
from harness.bundles.consistency import audit_store
from harness.records.schema import Record
from harness.records.store import Store, open_store

_KEPT = re.compile(r"joulemark-\d+-.+\.lock|torchinductor_.+")
"""What a run leaves in the folder for temporary files: the devices' locks, and torch's cache."""


@dataclass(frozen=True)
class Promise:
    """How a fault of some kind is to end."""

    codes: frozenset[int]
    """Exit codes of the faulted run; negative for a signal that cannot be caught."""
    said: str | None = None
    """A pattern of its line on standard error, where it ended with 2."""
    records: Mapping[str, str] = field(default_factory=dict)
    """Patterns of the reasons of records that are not ok, by status."""
    resumes: tuple[str, ...] | None = ()
    """Words added to the same command, which then measures what is missing; None where it cannot."""
    audited: bool = True
    """An audit of what is there finds nothing; False where the fault changes what was recorded."""
    lasting: bool = True
    """What was finished stays; False where the fault itself deletes it."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    kind: str
    inject: Callable[[World], Running]
    """Let it happen to a sweep, and return that once it has ended."""
    promise: Promise
    mend: Callable[[World], None] = lambda _world: None
    """Remove the cause, before the same command is given again."""
    weight: int = 1
    """How often it happens in one round: more where it comes at a random moment."""


def goes_on() -> Promise:
    """Every replica is measured, in the same run."""
    return Promise(frozenset({0}))


def ended(*codes: int, **more: object) -> Promise:
    """Promise one of these exit codes; the same command measures the rest."""
    statuses = {"interrupted": "interrupted by the user"} if 130 in codes else {}
    return Promise(frozenset(codes), records=statuses, **more)  # type: ignore[arg-type]


def told(said: str, **more: object) -> Promise:
    """Exit code 2, with one line that matches."""
    return Promise(frozenset({2}), said=said, **more)  # type: ignore[arg-type]


def recorded(status: str, reason: str, *, also: tuple[int, ...] = ()) -> Promise:
    """Promise a record that says so; the configuration is measured again when asked, or by itself."""
    again = () if status == "harness" else ("run.retry_failed=true",)
    return Promise(frozenset({1, *also}), records={status: reason}, resumes=again)


def problems(world: World, fault: Fault) -> Iterator[str]:
    """Run a fault in its world and yield what went wrong."""
    running = fault.inject(world)
    if running.code is None:
        yield "it never ended"
    if left := orphans():
        yield f"{len(left)} processes left"
    promise, store = fault.promise, open_store(world.results)
    if running.code is not None and running.code not in promise.codes:
        yield f"exit code {running.code}, not {sorted(promise.codes)}: {running.err[-300:]!r}"
    yield from _lines(running, promise)
    before = world.records()
    fault.mend(world)
    if promise.lasting and world.records().keys() < before.keys():
        before = {}  # the fault took them with it, and mending did not bring them back
        yield "finished records lost"
    yield from _statuses(store, promise)
    if promise.resumes is not None:
        yield from _resumed(world, store, promise, world.records())
    yield from _left(world)


def _lines(running: Running, promise: Promise) -> Iterator[str]:
    err = running.err
    if "Traceback" in err or "this is a fault of Joulemark" in err:
        yield f"a traceback or a fault: {err[-300:]!r}"
    if running.code == 2 and promise.said is not None:
        lines = [line for line in err.splitlines() if line.startswith("joulemark: ")]
        if len(lines) != 1 or not re.search(promise.said, lines[0]):
            yield f"its line is {lines}, not {promise.said}"


def _statuses(store: Store, promise: Promise) -> Iterator[str]:
    records, unread = store.records(SWEEP)
    for record in records:
        if record.status == "ok":
            continue
        expected = promise.records.get(record.status)
        if expected is None or not re.search(expected, record.reason or ""):
            yield f"a record says {record.status}: {record.reason}"
    for bad in unread if promise.audited else ():
        yield f"unreadable: {bad.path.name}: {bad.reason}"


def _resumed(world: World, store: Store, promise: Promise, before: dict[Path, bytes]) -> Iterator[str]:
    done = _good(store.records(SWEEP)[0])
    again = world.run(*promise.resumes or ())
    if again.code != 0:
        yield f"resuming ended with {again.code}: {again.err[-300:]!r}"
        return
    after, records = world.records(), store.records(SWEEP)[0]
    if any(after.get(path) != data for path, data in before.items()):
        yield "a finished record was lost or changed"
    good = _good(records)
    if len(good) != PLANNED or max(good.values()) > 1:
        yield f"{sum(good.values())} good records of {len(good)} replicas, not {PLANNED}"
    if done - good:
        yield "a replica that was done is not"
    found = audit_store(store, [SWEEP])
    if promise.audited and found.findings:
        yield f"its records contradict each other: {found.findings[0]}"


def _good(records: list[Record]) -> Counter[tuple[str, int]]:
    return Counter((r.trial_id, r.replica) for r in records if r.status == "ok")


def _left(world: World) -> Iterator[str]:
    if left := orphans():
        yield f"{len(left)} processes left after resuming"
    temporary = [
        path
        for path in (world.folder / "in").rglob("*")
        if path.suffix == ".tmp" or path.name.startswith((".probe-", ".agent-"))
    ]
    temporary += [p for p in (world.folder / "tmp").glob("*") if not _KEPT.fullmatch(p.name)]
    if temporary:
        yield f"temporary files left: {[str(p.relative_to(world.folder)) for p in temporary[:4]]}"
    known = {
        "in",
        "tmp",
        "state",
        "moved",
        *(f"{n}{r.number}" for r in world.started for n in ("out", "err")),
    }
    if strange := {p.name for p in world.folder.iterdir()} - known:
        yield f"written outside: {strange}"
