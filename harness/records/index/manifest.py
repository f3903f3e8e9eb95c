"""The index's list of what it was made from and of its files, which nobody but its user can have written.

A results folder may come from a stranger, index and all. The list carries a code that only the key in the
user's own cache folder makes, and every user's index lies apart: another's, a forged and a damaged one are
the same as none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness.records.index.segment import Segment
from harness.records.schema import SCHEMA_VERSION
from harness.records.store import Store, read_bounded
from harness.records.validity import RULES_VERSION
from harness.system.errors import access_to
from harness.system.files import write_atomically
from harness.system.inside import require_inside
from harness.system.native import cache_folder

INDEX_VERSION = 4
"""Raise it when what the index holds changes."""
_HARNESS = Path(__file__).parents[2]
_KEY_BYTES = 32
_MAX_BYTES = 2**31
_NAME = "manifest.json"
_COLUMNS = ("entry", "stamps", "digests", "merged")
_GRACE_S = 600.0
"""How long files stay that the list names no more: another process may be reading them, or writing them."""


@dataclass(slots=True)
class Folder:
    """A trial's folder as it was read."""

    entry: int
    stamps: str
    """From `harness.records.index.stamps`."""
    digests: str
    """The sha256 of each record, one after another; what could not be used has none."""
    merged: str
    """Of each record 1 if it was merged, that is if the journal had none of it, else 0."""
    fresh: bool = False
    """It was read too soon after its last change: its stamps prove nothing yet."""
    torn: list[tuple[str, str]] = field(default_factory=list)
    """Each path below the root that could not be used, and why."""


@dataclass(slots=True)
class Sweep:
    """What is known of one sweep."""

    journal: list[list[Any]] = field(default_factory=list)
    """The stamps of the journal's files by which it was told what was merged."""
    folders: dict[str, Folder] = field(default_factory=dict)
    """By path below the root."""


@dataclass
class Manifest:
    """What the index was made from, and what it is made of."""

    sweeps: dict[str, Sweep] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    entries: int = 0
    """The first number that no folder has had."""
    rows: int = 0
    """The first number that no row of a segment has."""

    def live(self) -> set[int]:
        """Return the entries that stand for folders as they are."""
        return {folder.entry for sweep in self.sweeps.values() for folder in sweep.folders.values()}

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
    told = _decoded(body)
    if told["versions"] != _versions():
        return Manifest()
    return Manifest(
        {name: _sweep_of(sweep) for name, sweep in told["sweeps"].items()},
        [
            Segment(**one | {"spans": tuple((first, last) for first, last in one["spans"])})
            for one in told["segments"]
        ],
        told["entries"],
        told["rows"],
    )


def _sweep_of(told: dict[str, Any]) -> Sweep:
    columns = (told[name] for name in _COLUMNS)
    folders = {name: Folder(*cells) for name, *cells in zip(told["names"], *columns, strict=True)}
    for name in told["fresh"]:
        folders[name].fresh = True
    for name, torn in told["torn"].items():
        folders[name].torn = torn
    return Sweep(told["journal"], folders)


def _told(sweep: Sweep) -> dict[str, Any]:
    """Return a sweep by columns, which are read faster than a mapping for each folder."""
    folders = sweep.folders
    return {
        "journal": sweep.journal,
        "names": list(folders),
        **{name: [getattr(folder, name) for folder in folders.values()] for name in _COLUMNS},
        "fresh": [name for name, folder in folders.items() if folder.fresh],
        "torn": {name: folder.torn for name, folder in folders.items() if folder.torn},
    }


def save(folder: Path, key: bytes, manifest: Manifest) -> None:
    """Write the list whole, and remove files that no list has named for a while.

    Raises:
        OSError: it cannot be written.
    """
    told = {
        "versions": _versions(),
        "sweeps": {name: _told(sweep) for name, sweep in manifest.sweeps.items()},
        "segments": [asdict(segment) for segment in manifest.segments],
        "entries": manifest.entries,
        "rows": manifest.rows,
    }
    body = _encoded(told)
    write_atomically(folder / _NAME, _code(key, body) + b"\n" + body)
    named = {segment.token for segment in manifest.segments}
    for path in folder.glob("*.parquet"):
        if path.name.split(".")[0] not in named and time.time() - path.lstat().st_mtime > _GRACE_S:
            path.unlink(missing_ok=True)


def _encoded(told: dict[str, Any]) -> bytes:
    import msgspec

    try:
        return msgspec.json.encode(told)
    except UnicodeEncodeError:  # the name of a file is no Unicode, and needs escapes
        return json.dumps(told).encode()


def _decoded(body: bytes) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:  # such escapes
        return json.loads(body)


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
