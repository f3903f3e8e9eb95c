"""The index's list of what it was made from and of its files, which nobody but its user can have written.

A results folder may come from a stranger, index and all. The list carries a code that only the key in the
user's own cache folder makes, and every user's index lies apart: another's, a forged and a damaged one are
the same as none.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from harness.records.index.segment import Segment
from harness.records.schema import SCHEMA_VERSION
from harness.records.store import Store, read_bounded
from harness.records.validity import RULES_VERSION
from harness.system.errors import access_to
from harness.system.files import write_atomically
from harness.system.inside import require_inside
from harness.system.native import cache_folder

INDEX_VERSION = 3
"""Raise it when what the index holds changes."""
_HARNESS = Path(__file__).parents[2]
_KEY_BYTES = 32
_MAX_BYTES = 2**31
_NAME = "manifest.json"
_GRACE_S = 600.0
"""How long files stay that the list names no more: another process may be reading them, or writing them."""

Stamp = list[Any]
"""Of a file that may be a record: its name below the trial's folder, size, and times of change in ns, of its
contents and of its inode; the last is the kernel's own and cannot be set back."""


@dataclass(slots=True)
class Folder:
    """A trial's folder as it was read."""

    entry: int
    stamps: list[Stamp]
    torn: list[tuple[str, str]] = field(default_factory=list)
    """Each path below the root that could not be used, and why."""
    merged: list[tuple[str, bool]] = field(default_factory=list)
    """Each record's sha256, and whether it was merged: whether the journal had none of it."""


@dataclass
class Manifest:
    """What the index was made from, and what it is made of."""

    sweeps: dict[str, dict[str, Folder]] = field(default_factory=dict)
    """By sweep and by folder below the root."""
    segments: list[Segment] = field(default_factory=list)
    next: int = 0
    """The first number that no row has."""

    def live(self) -> set[int]:
        """Return the entries that stand for folders as they are."""
        return {folder.entry for folders in self.sweeps.values() for folder in folders.values()}

    def dead(self) -> list[int]:
        """Return the entries in the segments that stand for nothing any more."""
        live = self.live()
        return [entry for segment in self.segments for entry in segment.entries() if entry not in live]


def owned_folder(store: Store, key: bytes) -> Path:
    """Return the folder of this user's index of a store."""
    return store.root / "index" / hashlib.sha256(key).hexdigest()[:16]


def user_key() -> bytes | None:
    """Return the key of this user's indexes, made at its first use; None where none can be kept."""
    path = cache_folder() / "index.key"
    for _ in range(2):
        try:
            found = read_bounded(path, _KEY_BYTES)
        except FileNotFoundError:
            _make_key(path)
        except (OSError, ValueError):
            return None
        else:
            return found if len(found) == _KEY_BYTES else None
    return None


def _make_key(path: Path) -> None:
    """Write a key, unless another process does so first."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        os.link(temporary, path)
    except OSError:
        pass  # it is there now, or the folder takes none: the caller looks again
    finally:
        temporary.unlink(missing_ok=True)


def load(folder: Path, key: bytes) -> Manifest:
    """Read the list; an empty one where there is none, or none that this user's key vouches for."""
    try:
        code, _, body = read_bounded(folder / _NAME, _MAX_BYTES).partition(b"\n")
    except (OSError, ValueError):
        return Manifest()
    if not hmac.compare_digest(code, _code(key, body)):
        return Manifest()
    told = from_json(body)
    if told["versions"] != _versions():
        return Manifest()
    return Manifest(
        {
            sweep: {name: Folder(*one) for name, one in folders.items()}
            for sweep, folders in told["sweeps"].items()
        },
        [
            Segment(one["token"], tuple((a, b) for a, b in one["spans"]), one["records"], one["sha256"])
            for one in told["segments"]
        ],
        told["next"],
    )


def save(folder: Path, key: bytes, manifest: Manifest) -> None:
    """Write the list whole, and remove files that no list has named for a while.

    Raises:
        OSError: it cannot be written.
    """
    told = {
        "versions": _versions(),
        "sweeps": {
            sweep: {name: (one.entry, one.stamps, one.torn, one.merged) for name, one in folders.items()}
            for sweep, folders in manifest.sweeps.items()
        },
        "segments": [asdict(segment) for segment in manifest.segments],
        "next": manifest.next,
    }
    body = to_json(told)
    write_atomically(folder / _NAME, _code(key, body) + b"\n" + body)
    named = {segment.token for segment in manifest.segments}
    for path in folder.glob("*.parquet"):
        if path.name.split(".")[0] not in named and time.time() - path.lstat().st_mtime > _GRACE_S:
            path.unlink(missing_ok=True)


def _code(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256").hex().encode()


def _versions() -> list[int | str]:
    """Return what an index is good for: its form, the rules, and the very code that estimated."""
    return [INDEX_VERSION, RULES_VERSION, SCHEMA_VERSION, _code_digest()]


@cache
def _code_digest() -> str:
    made = hashlib.sha256()
    for room in (_HARNESS / "records", _HARNESS / "stats"):
        for path in sorted(room.glob("*.py")):
            made.update(path.read_bytes())
    return made.hexdigest()


def prepare(store: Store, folder: Path) -> None:
    """Make this user's index folder, inside the store.

    Raises:
        OSError: it cannot be made, or a link leads out of the store.
    """
    require_inside(store.root, folder)
    with access_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
