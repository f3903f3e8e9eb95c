"""A renewed lease on a block of a sweep, in the shared folder: no lock of a kernel reaches other nodes.

A scheduler that lost sight of a node starts its block again elsewhere while the first copy goes on. The copy
that started last holds the lease; the other sees that, leaves a record of the replica in flight, and ends.
Times are compared by the file system's own clock alone: those of nodes may differ.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.records.errors import one_line
from harness.records.store import read_bounded
from harness.system.allocation import Allocation
from harness.system.errors import JoulemarkError, ResourceError, access_to
from harness.system.inside import require_inside
from harness.system.locks import SweepBusyError

RENEWED_S, EXPIRES_S = 15.0, 60.0
_FOLDER = "leases"
_LIMIT_BYTES = 4096


class LeaseLostError(JoulemarkError, RuntimeError):
    """Another copy of the block was started; what is finished is kept."""


@dataclass
class Lease:
    """Held from entering to leaving, or until another copy takes it."""

    folder: Path
    """Of the sweep."""
    block: str
    """`I/N`."""
    allocation: Allocation
    renewed_s: float = RENEWED_S
    now_s: Callable[[], float] = time.monotonic
    lost_to: str | None = field(default=None, init=False)
    _token: str = field(default_factory=lambda: secrets.token_hex(8), init=False)
    _last_s: float = field(default=0.0, init=False)

    @property
    def path(self) -> Path:
        """Where the lease lies."""
        return self.folder / _FOLDER / f"block-{self.block.replace('/', '-of-')}.json"

    def __enter__(self) -> Self:
        require_inside(self.folder.parent, self.folder)
        require_inside(self.folder, self.path.parent)
        with access_to(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            told = {"block": self.block, "pid": os.getpid(), "token": self._token, **self.allocation.facts()}
            temporary = self.path.with_name(f".{self.path.name}.{self._token}.tmp")
            temporary.write_text(json.dumps(told))
            temporary.replace(self.path)
        self._last_s = self.now_s()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_mine():
            self.path.unlink(missing_ok=True)

    def renew(self) -> None:
        """Show that this copy lives, where the last time is long enough ago; notice a later copy."""
        if self.now_s() - self._last_s < self.renewed_s:
            return
        self._last_s = self.now_s()
        if self._is_mine():
            os.utime(self.path)

    def require(self) -> None:
        """Go on only while no other copy has taken the lease.

        Raises:
            LeaseLostError: one has.
        """
        self._is_mine()
        if self.lost_to is not None:
            raise LeaseLostError(
                f"block {self.block} was started again, {self.lost_to}: it is left to that copy; "
                "every replica that ended here has its record"
            )

    def _is_mine(self) -> bool:
        try:
            told = _read(self.path)
        except FileNotFoundError:
            self.lost_to = "by a copy that has ended"
            return False
        except (OSError, ValueError):
            return False  # the file system does not answer now: nobody can have measured more by it
        if told.get("token") != self._token:
            self.lost_to = _holder(told)
            return False
        return True


def require_no_lease(
    folder: Path,
    note: Callable[[str], None],
    *,
    expires_s: float = EXPIRES_S,
    tick: Callable[[], None] = lambda: time.sleep(0.5),
) -> None:
    """Make sure that no block of a sweep runs elsewhere; wait for leases that are not renewed to expire.

    Args:
        folder: of the sweep.
        note: told once what is waited for.
        expires_s: after how long a lease that is not renewed holds no more.
        tick: passes the time between two looks.

    Raises:
        SweepBusyError: a block is running.
    """
    first = {path: age_s for path, age_s in _ages(folder) if age_s < expires_s}
    waits = dict(first)
    while waits:
        path = next(iter(waits))
        try:
            holder = _holder(_read(path))
        except (OSError, ValueError) as error:
            holder = one_line(error)
        if waits[path] < first[path]:
            raise SweepBusyError(
                f"{folder}: block {path.stem.removeprefix('block-')} of this sweep is running, {holder}; "
                "wait for it or cancel its job"
            )
        if waits == first:
            note(f"waiting for {path.name} to expire or be renewed, {holder}: at most {expires_s:.0f} s")
        tick()
        waits = {path: age_s for path, age_s in _ages(folder) if path in first and age_s < expires_s}


def live_blocks(folder: Path, expires_s: float = EXPIRES_S) -> dict[str, str | None]:
    """Return by block (`I/N`) the nodes of those that hold their lease now."""
    found: dict[str, str | None] = {}
    for path, age_s in _ages(folder):
        if age_s < expires_s:
            try:
                told = _read(path)
            except (OSError, ValueError):
                continue
            node = told.get("node")
            found[str(told.get("block"))] = None if node is None else str(node)[:80]
    return found


def _ages(folder: Path) -> Iterator[tuple[Path, float]]:
    """Yield each lease of a sweep with its age in seconds, by the file system's clock.

    One of the future is none: nobody renewed it, and it would hold for ever.
    """
    require_inside(folder, folder / _FOLDER)
    leases = sorted((folder / _FOLDER).glob("block-*.json"))
    if not leases:
        return
    probe = folder / _FOLDER / f".now-{secrets.token_hex(8)}.tmp"
    try:
        probe.touch()
        now_s = probe.stat().st_mtime
        probe.unlink()
    except OSError as error:
        raise ResourceError(f"{probe.parent}: {error.strerror}") from error
    for path in leases:
        try:
            age_s = now_s - path.lstat().st_mtime
        except FileNotFoundError:
            continue
        if age_s > -EXPIRES_S:
            yield path, age_s


def _read(path: Path) -> dict[str, Any]:
    told = json.loads(read_bounded(path, _LIMIT_BYTES))
    if not isinstance(told, dict) or not isinstance(told.get("token"), str):
        raise ValueError(f"{path}: not a lease")  # noqa: TRY004 - a file's contents
    return told


def _holder(told: dict[str, Any]) -> str:
    job, node = (str(told.get(key))[:80] for key in ("job", "node"))
    return f"as job {job} on {node}" if told.get("job") else f"as process {str(told.get('pid'))[:20]}"
