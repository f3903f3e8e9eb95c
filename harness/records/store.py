"""The store: one folder an attempt, one immutable record in it, written atomically, read with suspicion."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records.codec import MAX_RECORD_BYTES, parse, serialise
from harness.records.errors import one_line
from harness.records.plan import read_plan_bytes
from harness.records.schema import DIGEST_PATTERN, NAME_PATTERN, Record
from harness.system.errors import InputError, JoulemarkError, ResourceError, UsageError
from harness.system.inside import OutsideError, require_inside
from harness.system.interrupts import whole

RECORD = "record.json"
PLAN = "plan.json"
RESERVED = ("index", "reference", "certificates", "foreign", "merged")
"""Folders beside the sweeps: the derived index, a store of its own that ships with the repository, what
`joulemark qualify` found of the instrument, and what other tools measured."""
_MAX_PLAN_BYTES = 256 * 2**20
_ATTEMPTS = 10_000
_PROBE_BYTES = 64 * 2**10
_NAME = re.compile(NAME_PATTERN)
_DIGEST = re.compile(DIGEST_PATTERN)
_ATTEMPT = re.compile(r"r([0-9]{2,4})-a([0-9]{2,4})")
_ADVICE = {
    errno.EROFS: "it is on a read-only file system; choose another folder with run.results=PATH",
    errno.ENOSPC: "the disk is full; free some space or choose another folder with run.results=PATH",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder with run.results=PATH",
    errno.EACCES: "permission denied; fix its permissions or choose another folder with run.results=PATH",
    errno.EPERM: "permission denied; fix its permissions or choose another folder with run.results=PATH",
    errno.ENOTDIR: "a part of the path is not a folder; choose another with run.results=PATH",
    errno.EEXIST: "it is a file, not a folder; choose another with run.results=PATH",
}


class AttemptTakenError(JoulemarkError, FileExistsError):
    """The attempt has its record, or another process writes it or died doing so; take the next attempt."""


class StoreError(ResourceError):
    """The store cannot be written, or its plan cannot be read; one line says what to do."""


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record that could not be used, and why. It is skipped, reported, and left where it is."""

    path: Path
    reason: str


class Store:
    """Records beneath one folder, `<sweep>/<machine_id>/<trial_id>/rRR-aNN/record.json`."""

    def __init__(self, root: Path) -> None:
        self.root = root

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
        """Return the number after the replica's highest attempt, recorded or abandoned; 0 for the first.

        Where that would be beyond the last number, it is the lowest that is free.
        """
        trial = self.attempt_dir(sweep, machine_id, trial_id, replica, 0).parent
        found = [_ATTEMPT.fullmatch(entry.name) for entry in _entries(trial)]
        taken = {int(m[2]) for m in found if m and int(m[1]) == replica}
        after = max(taken, default=-1) + 1
        # Somebody's attempt number 9999 must not be the last one for ever.
        return after if after < _ATTEMPTS else min(set(range(_ATTEMPTS)) - taken, default=after)

    def write(self, record: Record) -> Path:
        """Write a record so that it is there whole or not at all, and return its path.

        Raises:
            AttemptTakenError: it has its record, or another process writes it or died doing so.
            StoreError: the folder cannot be written; nothing was left behind.
            ValueError: the record holds what JSON cannot (NaN, an infinity), or is too large.
        """
        path = self._path_of(record)
        self.write_once(path, serialise(record))
        return path

    def write_once(self, path: Path, data: bytes) -> None:
        """Write a file beneath the store so that it is there whole or not at all, and is never overwritten.

        Raises:
            AttemptTakenError: it is there, or another process writes it or died doing so.
            StoreError: the folder cannot be written; nothing was left behind.
        """
        with _advised(self.root), whole():
            require_inside(self.root, path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.tmp")
            # The temporary file claims the path: no writer passes between the check and the rename.
            try:
                _write_synced(temporary, data)
            except FileExistsError:
                raise AttemptTakenError(f"{path}: another process writes it, or died doing so") from None
            if path.exists():
                temporary.unlink()
                raise AttemptTakenError(f"{path}: it is there, and records are never overwritten")
            self._publish(temporary, path)

    def records(
        self, sweep: str | None = None, trials: Collection[str] | None = None
    ) -> tuple[list[Record], list[UnreadableRecord]]:
        """Read the records of a sweep, or of all, by path; what cannot be used is reported, never raised.

        Only those of `trials`, by id, where some are named.
        """
        records: list[Record] = []
        torn: list[UnreadableRecord] = []
        shared: dict[str, dict[str, Any]] = {}
        for path in self.record_paths(sweep, trials):
            try:
                record = _sharing(parse(read_bounded(path, MAX_RECORD_BYTES)), shared)
                home = self._path_of(record)
            except (OSError, ValueError) as error:
                torn.append(UnreadableRecord(path, _why(error)))
                continue
            if home == path:
                records.append(record)
            else:
                torn.append(UnreadableRecord(path, f"misplaced: it belongs at {home.relative_to(self.root)}"))
        return records, torn

    def record_paths(self, sweep: str | None = None, trials: Collection[str] | None = None) -> Iterator[Path]:
        """Yield the path of every `record.json` of a sweep, or of all, in order.

        A sweep's own folder may be a link; beneath it none is followed. A folder that cannot be read is
        yielded itself, so that whoever reads it reports it.
        """
        for name in [sweep] if sweep is not None else self.sweeps():
            if trials is None:
                yield from _find(self.sweep_dir(name), depth=3)
                continue
            for machine in _entries(self.sweep_dir(name)):
                if _DIGEST.fullmatch(machine.name) and machine.is_dir(follow_symlinks=False):
                    for trial in sorted(trials):
                        yield from _find(Path(machine.path) / trial, depth=1)

    def sweeps(self) -> list[str]:
        """Return the names of the sweeps, sorted."""
        return sorted(
            entry.name
            for entry in _entries(self.root)
            if entry.is_dir() and _NAME.fullmatch(entry.name) and entry.name not in RESERVED
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
        with _advised(self.root), whole():
            require_inside(self.root, path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_synced(temporary, data + b"\n")
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
        """
        probe = self.root / f".probe-{os.getpid()}"
        with _advised(self.root), whole():
            self.root.mkdir(parents=True, exist_ok=True)
            probe.unlink(missing_ok=True)
            _write_synced(probe, b"\0" * _PROBE_BYTES)
            probe.unlink()

    def sweep_dir(self, sweep: str) -> Path:
        """Return the folder of a sweep, which need not exist.

        Raises:
            UsageError: not a sweep's name.
        """
        if not _NAME.fullmatch(sweep) or sweep in RESERVED:
            raise UsageError(f"not a sweep's name: {sweep!r}")
        return self.root / sweep

    def _path_of(self, record: Record) -> Path:
        folder = self.attempt_dir(
            record.sweep, record.machine_id, record.trial_id, record.replica, record.attempt
        )
        return folder / RECORD

    def _publish(self, temporary: Path, path: Path) -> None:
        try:
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for folder in path.parents:
            _sync_dir(folder)
            if folder == self.root:
                break


def open_store(path: str | Path) -> Store:
    """Return the store beneath `path`; nothing is created or read before it is asked for."""
    return Store(Path(path).absolute())


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a plain file: no link, no pipe, at most `limit` bytes.

    Raises:
        OSError: it cannot be read.
        InputError: it is not a plain file, or is larger than `limit`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError("not a plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise InputError(f"larger than {limit} bytes")
    return data


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ResourceError(f"{folder}: {error.strerror or error}") from error


def _find(folder: Path, depth: int) -> Iterator[Path]:
    """Yield every `record.json` at most `depth` folders below `folder`, also where none belongs."""
    try:
        entries = _entries(folder)
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.name == RECORD:
            yield Path(entry.path)
        elif depth and entry.is_dir():
            if entry.is_symlink():
                yield Path(entry.path)
            else:
                yield from _find(Path(entry.path), depth - 1)


def _write_synced(path: Path, data: bytes) -> None:
    """Create the file, which must not exist, and sync it; a failure leaves none."""
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise


def _sync_dir(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network and user-space file systems cannot sync a folder; the file itself is synced.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _advised(root: Path) -> Iterator[None]:
    """Turn the operating system's error into one line that says what to do."""
    try:
        yield
    except AttemptTakenError:
        raise
    except OutsideError as error:
        raise StoreError(f"cannot write records: {error}; copy what it names, or remove it") from error
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"cannot write records in {root}: {advice}") from error


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error)


def _sharing(record: Record, shared: dict[str, dict[str, Any]]) -> Record:
    """Let equal facts of many records be one object: thousands are of one machine and one code."""
    facts = {}
    for name in ("config", "machine", "code"):
        held = getattr(record, name)
        facts[name] = shared.setdefault(json.dumps(held, sort_keys=True), held)
    return record.model_copy(update=facts)
