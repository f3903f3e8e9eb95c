"""The store: one folder an attempt, one immutable record in it, written atomically, read with suspicion."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records.codec import MAX_RECORD_BYTES, serialise
from harness.records.errors import one_line
from harness.records.journal import Journal, users_journal
from harness.records.listing import RECORD, entries, find, is_folder
from harness.records.plan import read_plan_bytes
from harness.records.reader import Reader
from harness.records.schema import DIGEST_PATTERN, NAME_PATTERN, Record
from harness.records.store_errors import AttemptTakenError, StoreError, advised
from harness.system.collector import uncollected
from harness.system.errors import InputError, UsageError
from harness.system.files import sync_folder, write_synced
from harness.system.inside import require_inside
from harness.system.interrupts import whole

PLAN = "plan.json"
RESERVED = ("index", "reference", "certificates", "foreign", "merged")
"""Folders beside the sweeps: the derived index, a store of its own that ships with the repository, what
`joulemark qualify` found of the instrument, and what other tools measured."""
_MAX_PLAN_BYTES = 64 * 2**20
_ATTEMPTS = 10_000
_PROBE_BYTES = 64 * 2**10
_NAME = re.compile(NAME_PATTERN)
_DIGEST = re.compile(DIGEST_PATTERN)
_ATTEMPT = re.compile(r"r([0-9]{2,4})-a([0-9]{2,4})")


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record that could not be used, and why. It is skipped, reported, and left where it is."""

    path: Path
    reason: str


class Store:
    """Records beneath one folder, `<sweep>/<machine_id>/<trial_id>/rRR-aNN/record.json`.

    Args:
        root: the folder.
        journal: where the store keeps which records it wrote; the user's by default.
    """

    def __init__(self, root: Path, journal: Journal | None = None) -> None:
        self.root = root
        self.journal = journal if journal is not None else users_journal()

    def attempt_dir(self, sweep: str, machine_id: str, trial_id: str, replica: int, attempt: int) -> Path:
        """Return an attempt's folder; nothing is created.

        Raises:
            ValueError: a component is not a plain name, digest or number, so that the path might escape.
        """
        for digest in (machine_id, trial_id):
            if not _DIGEST.fullmatch(digest):
                raise ValueError(f"not a digest of 16 to 64 hexadecimal digits: {digest!r}")
        name = f"r{replica:02d}-a{attempt:02d}"
        if not _ATTEMPT.fullmatch(name):
            raise ValueError(f"replica and attempt lie between 0 and 9999, not {replica} and {attempt}")
        return self.sweep_dir(sweep) / machine_id / trial_id / name

    def next_attempt(self, sweep: str, machine_id: str, trial_id: str, replica: int) -> int:
        """Return the first free number after the replica's last attempt of ours; 0 for the first.

        Somebody's attempt number 9999 must neither be the last one for ever nor come after ours.
        """
        trial = self.attempt_dir(sweep, machine_id, trial_id, replica, 0).parent
        found = [_ATTEMPT.fullmatch(entry.name) for entry in entries(str(trial))]
        taken = {int(m[2]): trial / m[0] / RECORD for m in found if m and int(m[1]) == replica}
        ours = self.journal.digests(sweep) if taken else frozenset()
        last = max((n for n, path in taken.items() if digest_of(path) in ours), default=-1)
        free = (n for n in range(last + 1, _ATTEMPTS) if n not in taken)
        return next(free, min(set(range(_ATTEMPTS)) - taken.keys(), default=_ATTEMPTS))

    def write(self, record: Record) -> Path:
        """Write a record whole or not at all, so that it knows its digest; return its path.

        The journal has it before it takes its name, so that whatever is finished counts.

        Raises:
            AttemptTakenError: it has its record, or another process writes it or died doing so.
            StoreError: the folder cannot be written; nothing was left behind.
            ValueError: the record holds what JSON cannot (NaN, an infinity), or is too large.
        """
        path, data = Path(self._path_of(record)), serialise(record)
        digest = hashlib.sha256(data).hexdigest()
        self.write_once(path, data, lambda: self.journal.add(record.sweep, [digest]))
        record._sha256 = digest  # noqa: SLF001 - as for one that was read
        return path

    def write_once(self, path: Path, data: bytes, before: Callable[[], None] = lambda: None) -> None:
        """Write a file beneath the store so that it is there whole or not at all, and is never overwritten.

        Args:
            path: of the file.
            data: what it holds.
            before: done when all is written but its name; if that fails, nothing is left.

        Raises:
            AttemptTakenError: it is there, or another process writes it or died doing so.
            StoreError: the folder cannot be written; nothing was left behind.
        """
        with advised(self.root), whole():
            require_inside(self.root, path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.tmp")
            # The temporary file claims the path: no writer passes between the check and the rename.
            try:
                write_synced(temporary, data)
            except FileExistsError:
                raise AttemptTakenError(f"{path}: another process writes it, or died doing so") from None
            if path.exists():
                temporary.unlink()
                raise AttemptTakenError(f"{path}: it is there, and records are never overwritten")
            self._publish(temporary, path, before)

    def records(
        self, sweep: str | None = None, trials: Collection[str] | None = None
    ) -> tuple[list[Record], list[UnreadableRecord]]:
        """Read the records of a sweep, or of all, by path; what cannot be used is reported, never raised.

        Only those of `trials`, by id, where some are named. What the journal lacks is marked as merged.
        """
        records: list[Record] = []
        torn: list[UnreadableRecord] = []
        parse = Reader().parse
        with uncollected():
            for name in [sweep] if sweep is not None else self.sweeps():
                ours = self.journal.digests(name)
                for path in self._paths(name, trials):
                    found = self.read_at(path, ours, parse)
                    if isinstance(found, Record):
                        records.append(found)
                    else:
                        torn.append(found)
        return records, torn

    def read_at(
        self, path: str, ours: Collection[str], parse: Callable[[bytes], Record]
    ) -> Record | UnreadableRecord:
        """Read one record, or say why what lies at the path, one of `record_paths`, cannot be used.

        Args:
            path: of the record.
            ours: what the journal has of its sweep; a record that is not there was merged.
            parse: returns the record that bytes hold, or raises a `ValueError`.
        """
        try:
            record = parse(read_bounded(path, MAX_RECORD_BYTES))
            home = self._path_of(record)
        except (OSError, ValueError) as error:
            return UnreadableRecord(Path(path), _why(error))
        if home != path:
            where = Path(home).relative_to(self.root)
            return UnreadableRecord(Path(path), f"misplaced: it belongs at {where}")
        record._merged = record.sha256 not in ours  # noqa: SLF001 - only its reader knows
        return record

    def record_paths(self, sweep: str | None = None, trials: Collection[str] | None = None) -> Iterator[Path]:
        """Return the path of every `record.json` of a sweep, or of all, in order.

        A sweep's own folder may be a link; beneath it none is followed. A folder that cannot be read is
        yielded itself, so that whoever reads it reports it.
        """
        return map(Path, self._paths(sweep, trials))

    def _paths(self, sweep: str | None, trials: Collection[str] | None) -> Iterator[str]:
        for name in [sweep] if sweep is not None else self.sweeps():
            if trials is None:
                yield from (path for path, _ in find(str(self.sweep_dir(name))))
                continue
            for machine in entries(str(self.sweep_dir(name))):
                if _DIGEST.fullmatch(machine.name) and machine.is_dir(follow_symlinks=False):
                    for trial in sorted(trials):
                        yield from (path for path, _ in find(f"{machine.path}/{trial}", 1))

    def sweeps(self) -> list[str]:
        """Return the names of the sweeps, sorted."""
        return sorted(
            entry.name
            for entry in entries(str(self.root))
            if is_folder(entry) and _NAME.fullmatch(entry.name) and entry.name not in RESERVED
        )

    def write_plan(self, sweep: str, payload: dict[str, Any]) -> Path:
        """Write, or atomically replace, the sweep's `plan.json`.

        Raises:
            StoreError: the folder cannot be written.
            ValueError: the payload is not JSON.
        """
        path = self.sweep_dir(sweep) / PLAN
        try:
            data = json.dumps(payload, allow_nan=False, ensure_ascii=False, indent=1).encode()
        except TypeError as error:
            raise ValueError(f"a plan is JSON: {error}") from error
        temporary = path.with_name(f".{PLAN}.{secrets.token_hex(8)}.tmp")
        with advised(self.root), whole():
            require_inside(self.root, path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(temporary, data + b"\n")
            self._publish(temporary, path)
        return path

    def read_plan(self, sweep: str) -> dict[str, Any] | None:
        """Return the sweep's plan, or None where there is none.

        Raises:
            StoreError: the plan is there and cannot be read.
        """
        path = self.sweep_dir(sweep) / PLAN
        try:
            return read_plan_bytes(read_bounded(path, _MAX_PLAN_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{path}: not a readable plan ({_why(error)}); run the sweep again") from error

    def check_writable(self) -> None:
        """Create, fill, sync and remove a file: permission bits say nothing to root or of a full disk.

        Raises:
            StoreError: records could not be written here.
            ResourceError: the journal could not be.
        """
        self.journal.check_writable()
        probe = self.root / f".probe-{os.getpid()}"
        with advised(self.root), whole():
            self.root.mkdir(parents=True, exist_ok=True)
            probe.unlink(missing_ok=True)
            write_synced(probe, b"\0" * _PROBE_BYTES)
            probe.unlink()

    def sweep_dir(self, sweep: str) -> Path:
        """Return the folder of a sweep, which need not exist.

        Raises:
            UsageError: not a sweep's name.
        """
        if not _NAME.fullmatch(sweep) or sweep in RESERVED:
            raise UsageError(f"not a sweep's name: {sweep!r}")
        return self.root / sweep

    def _path_of(self, record: Record) -> str:
        if record.sweep in RESERVED:
            raise UsageError(f"not a sweep's name: {record.sweep!r}")
        trial = f"{self.root}/{record.sweep}/{record.machine_id}/{record.trial_id}"  # the schema knows names
        return f"{trial}/r{record.replica:02d}-a{record.attempt:02d}/{RECORD}"

    def _publish(self, temporary: Path, path: Path, before: Callable[[], None] = lambda: None) -> None:
        try:
            before()
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for folder in path.parents:
            sync_folder(folder)
            if folder == self.root:
                break


def open_store(path: str | Path, journal: Journal | None = None) -> Store:
    """Return the store beneath `path`; nothing is created or read before it is asked for."""
    return Store(Path(path).absolute(), journal)


def read_bounded(path: Path | str, limit: int) -> bytes:
    """Return the bytes of a plain file: no link, no pipe, at most `limit` bytes.

    Raises:
        OSError: it cannot be read.
        InputError: it is not a plain file, or is larger than `limit`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise InputError("not a plain file")
        data = os.read(descriptor, min(facts.st_size, limit) + 1)
        while len(data) <= limit and (more := os.read(descriptor, 1 << 16)):  # it may have grown
            data += more
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise InputError(f"larger than {limit} bytes")
    return data


def digest_of(path: Path | str) -> str:
    """Return the sha256 of a record's file; empty where it cannot be one."""
    try:
        return hashlib.sha256(read_bounded(path, MAX_RECORD_BYTES)).hexdigest()
    except (OSError, ValueError):
        return ""


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error)
