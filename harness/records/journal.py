"""The journal: the digests of the records that this user wrote on this machine, outside every results folder.

A merge, or a folder that was copied in, can hold records under this machine's id and code. Only what stands
in the journal is known to have been measured here, and only that counts as done.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.records.schema import NAME_PATTERN
from harness.system.errors import ResourceError, UsageError
from harness.system.files import sync_folder

_LINE = re.compile(rb"^[0-9a-f]{64}$", re.MULTILINE)
_LARGEST_BYTES = 64 * 2**20
_NAME = re.compile(NAME_PATTERN)
_ORDER = ".order"


class Journal:
    """Digests by sweep, `SWEEP/RUN.sha256`: each process that writes has a file of its own.

    `.order` lists the sweeps as they were begun.

    Args:
        folder: where it lies; nothing is made before there is something to write. None where the user has no
            place for one: then nothing can be written, and nothing counts as written here.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._run = secrets.token_hex(8)

    def check_writable(self) -> None:
        """Make the folder, and a file in it that goes again.

        Raises:
            ResourceError: what is measured now could not be told from what is merged later.
        """
        with self._advised() as folder:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = folder / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()

    def add(self, sweep: str, digests: Iterable[str]) -> None:
        """Keep the sha256 of records of a sweep that are about to be written.

        Raises:
            ResourceError: they could not be kept.
        """
        with self._advised() as folder:
            path = folder / _checked(sweep) / f"{self._run}.sha256"
            if not path.parent.exists():
                path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
                _append(folder / _ORDER, [sweep])
            new = not path.exists()
            _append(path, digests)
            if new:
                sync_folder(path.parent)

    def order(self) -> list[str]:
        """Return the sweeps in the order in which this user began them here: no clock can change it.

        Raises:
            ResourceError: the journal is there and cannot be read.
        """
        if self._folder is None:
            return []
        with self._advised() as folder:
            try:
                with (folder / _ORDER).open("rb") as file:
                    names = file.read(_LARGEST_BYTES).decode(errors="replace").split()
            except FileNotFoundError:
                return []
        return list(dict.fromkeys(name for name in names if _NAME.fullmatch(name)))

    def digests(self, sweep: str) -> frozenset[str]:
        """Return the sha256 of every record of a sweep that was written here.

        Raises:
            ResourceError: the journal is there and cannot be read.
        """
        found: set[str] = set()
        if self._folder is None:
            return frozenset()
        with self._advised() as folder:
            for path in sorted((folder / _checked(sweep)).glob("*.sha256")):
                with path.open("rb") as file:
                    found.update(line.decode() for line in _LINE.findall(file.read(_LARGEST_BYTES)))
        return frozenset(found)

    def stamps(self, sweep: str) -> list[list[str | int]]:
        """Return what changes whenever another record of a sweep counts as written here.

        Returns:
            Of each file its name, size in bytes and times of change in ns.

        Raises:
            ResourceError: the journal is there and cannot be read.
        """
        if self._folder is None:
            return []
        with self._advised() as folder:
            found = [(path.name, path.stat()) for path in sorted((folder / _checked(sweep)).glob("*.sha256"))]
        return [[name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns] for name, facts in found]

    @contextlib.contextmanager
    def _advised(self) -> Iterator[Path]:
        advice = "name a folder for it by the environment variable XDG_STATE_HOME"
        if self._folder is None:
            raise ResourceError(f"no home folder to keep in which records were measured here: {advice}")
        try:
            yield self._folder
        except OSError as error:
            raise ResourceError(
                f"cannot keep in {self._folder} which records were measured here: "
                f"{error.strerror or error}; {advice}"
            ) from error


def _append(path: Path, lines: Iterable[str]) -> None:
    with path.open("ab") as file:
        # A line that a full disk cut short is none, and spoils no other.
        file.write(b"".join(b"\n%s\n" % line.encode() for line in lines))
        file.flush()
        os.fsync(file.fileno())


def users_journal() -> Journal:
    """Return the journal of this user, below `$XDG_STATE_HOME` or `~/.local/state`."""
    named = os.environ.get("XDG_STATE_HOME", "")
    if Path(named).is_absolute():  # the standard says to pass over any other
        return Journal(Path(named) / "joulemark" / "journal")
    try:
        return Journal(Path.home() / ".local" / "state" / "joulemark" / "journal")
    except RuntimeError:  # a container's user may have none
        return Journal(None)


def _checked(sweep: str) -> str:
    if not _NAME.fullmatch(sweep):
        raise UsageError(f"not a sweep's name: {sweep!r}")
    return sweep
