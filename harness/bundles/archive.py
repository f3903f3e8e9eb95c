"""Sweeps as one file to carry: a plain tar whose first member lists every other by size and sha256.

A bundle comes from elsewhere and is distrusted: no compression that could swell, plain files under a sweep's
folder only, nothing that is not listed, nothing larger than it says, and nothing of one's own overwritten.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.bundles.signature import SIGNATURE, SIGNATURE_BYTES, Signature, checked, sign
from harness.records.bounded_json import require_modest, unique
from harness.records.errors import first_fault
from harness.records.schema import DIGEST_PATTERN, NAME_PATTERN
from harness.records.store import RESERVED, Store
from harness.system.errors import InputError, ResourceError, UsageError, access_to
from harness.system.files import replacing, write_atomically
from harness.system.inside import require_inside

MANIFEST = "MANIFEST.json"
LARGEST_FILE_BYTES = 256 * 2**20
LARGEST_BUNDLE_BYTES = 16 * 2**30
MOST_FILES = 500_000
_PERMISSIONS = 0o666
"""That a member may have: nothing in a bundle is a program."""
_MANIFEST_BYTES = 128 * 2**20
_CHUNK = 1 << 20
_ATTEMPT_FILES = (
    r"record\.json|log\.txt|loop\.parquet|trace\.parquet|profile-trace\.json|profile\.json"
    r"|mlperf_log_(?:detail|summary)\.txt"
)
_PATH = re.compile(
    rf"{NAME_PATTERN}/(?:(?:plan|gate)\.json|{DIGEST_PATTERN}/{DIGEST_PATTERN}/r[0-9]{{2,4}}-a[0-9]{{2,4}}/"
    rf"(?:{_ATTEMPT_FILES}))"
)


class BundleError(InputError):
    """A file that is no sound bundle; one line says where it is not."""


class _Listed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    size: int = Field(ge=0, le=LARGEST_FILE_BYTES)
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["joulemark-bundle"]
    version: Literal[1]
    files: dict[str, _Listed] = Field(max_length=MOST_FILES)


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did."""

    added: int
    known: int
    """Files that were there already, byte for byte."""
    conflicts: tuple[str, ...]
    """Files that are there with other contents; the ones that were there are kept."""


def write_bundle(store: Store, sweeps: Sequence[str], path: Path, key: Path | None = None) -> int:
    """Write sweeps into a bundle and return the number of files; equal sweeps give equal bytes.

    Args:
        store: where they are.
        sweeps: by name.
        path: the bundle.
        key: an ed25519 private key that signs it.

    Raises:
        InputError: a sweep has no files or one that is too large, or the key does not do.
        ResourceError: a file cannot be read, or the bundle not written.
    """
    files = [name for sweep in sweeps for name in _files_of(store, sweep)]
    listed = {}
    for name in files:
        with access_to(store.root / name), (store.root / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST_FILE_BYTES:
                raise InputError(
                    f"{store.root / name}: {size} bytes; a bundle takes {LARGEST_FILE_BYTES} at most"
                )
            listed[name] = {
                "size": size,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
            }
    manifest = {"format": "joulemark-bundle", "version": 1, "files": listed}
    data = json.dumps(manifest, indent=1, sort_keys=True).encode()
    vouched = [] if key is None else [(SIGNATURE, sign(data, key))]
    with replacing(path) as temporary, tarfile.open(temporary, "w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, head in ((MANIFEST, data), *vouched):
            tar.addfile(_member(name, len(head)), io.BytesIO(head))
        for name in files:
            with access_to(store.root / name), (store.root / name).open("rb") as file:
                tar.addfile(_member(name, listed[name]["size"]), file)  # type: ignore[arg-type]
    return len(files)


def verify_bundle(path: Path) -> list[str]:
    """Read a whole bundle, check every file against the list, and return their names.

    Raises:
        BundleError: it is not sound; nothing was written anywhere.
        OSError: it cannot be read.
    """
    return [name for name, _ in sound_files(path)]


def bundle_signature(path: Path) -> Signature | None:
    """Return the signature of a bundle's list, by whatever key; None where there is none.

    Raises:
        BundleError: it is no bundle.
        SignatureError: it is not the signature of this list.
        OSError: it cannot be read.
    """
    _require_plain(path)
    try:
        with access_to(path), tarfile.open(path, "r:") as tar:
            _, manifest = _manifest(path, tar)
            second = tar.next()
            if second is None or second.name != SIGNATURE:
                return None
            if not second.isreg() or second.size > SIGNATURE_BYTES:
                raise BundleError(f"{path}: {SIGNATURE} is not a plain small file")
            return checked(_read(tar.extractfile(second), second.size), manifest)
    except tarfile.TarError as error:
        raise BundleError(f"{path}: not a bundle: {error}") from error


def merge_bundles(store: Store, paths: Sequence[Path]) -> Merged:
    """Add the files of bundles to a store; what is there is kept.

    Raises:
        BundleError: one is not sound; no file of any was written.
        OSError: a bundle cannot be read, or the store not written.
    """
    for path in paths:
        verify_bundle(path)
    added = known = 0
    conflicts = []
    for path in paths:
        for name, data in sound_files(path):
            target = store.root / name
            if target.is_symlink() or target.exists():
                with access_to(target):
                    same = target.is_file() and not target.is_symlink()
                    same = same and target.stat().st_size == len(data) and target.read_bytes() == data
                if same:
                    known += 1
                else:
                    conflicts.append(name)
                continue
            _write(store.root, target, data)
            added += 1
    return Merged(added, known, tuple(conflicts))


def _files_of(store: Store, sweep: str) -> list[str]:
    folder = store.root / sweep
    found = sorted(
        p.relative_to(store.root).as_posix()
        for p in folder.rglob("*")
        if p.is_file() and not p.is_symlink() and _PATH.fullmatch(p.relative_to(store.root).as_posix())
    )
    if not found:
        known = ", ".join(store.sweeps()) or "none"
        raise UsageError(f"{store.root}: no sweep {sweep}; there are: {known}")
    return found


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _require_plain(path: Path) -> None:
    """Make sure that a bundle is a file: a pipe that nobody writes to would be waited for."""
    if path.exists() and not path.is_file():
        raise BundleError(f"{path}: not a plain file")


def sound_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and contents of every file, each checked before it is yielded."""
    _require_plain(path)
    try:
        if path.stat().st_size > LARGEST_BUNDLE_BYTES:
            raise BundleError(f"{path}: larger than {LARGEST_BUNDLE_BYTES} bytes")
        with tarfile.open(path, "r:") as tar:
            manifest, _ = _manifest(path, tar)
            left = dict(manifest.files)
            for number, member in enumerate(tar):
                tar.members = []  # type: ignore[attr-defined] # what was read is not kept
                if (number, member.name) in {(0, MANIFEST), (1, SIGNATURE)}:
                    continue
                listed = left.pop(member.name, None)
                if listed is None:
                    raise BundleError(f"{path}: {member.name!r} is not in its list, or twice in the file")
                if not member.isreg() or member.issparse():
                    raise BundleError(f"{path}: {member.name} is not a plain file")
                if member.mode & ~_PERMISSIONS:
                    raise BundleError(f"{path}: {member.name} has the permissions {member.mode:o}")
                if member.size != listed.size:
                    raise BundleError(f"{path}: {member.name} has {member.size} bytes, not {listed.size}")
                data = _read(tar.extractfile(member), listed.size)
                if hashlib.sha256(data).hexdigest() != listed.sha256:
                    raise BundleError(f"{path}: {member.name} was changed: its sha256 differs")
                yield member.name, data
    except tarfile.TarError as error:
        raise BundleError(f"{path}: not a bundle: {error}") from error
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror or error}") from error
    if left:
        raise BundleError(f"{path}: {next(iter(left))} is missing, with {len(left) - 1} more")


def _manifest(path: Path, tar: tarfile.TarFile) -> tuple[_Manifest, bytes]:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > _MANIFEST_BYTES:
        raise BundleError(f"{path}: not a bundle: it does not begin with {MANIFEST}")
    try:
        data = _read(tar.extractfile(first), first.size)
        require_modest(data, 4 * MOST_FILES)
        manifest = _Manifest.model_validate_json(data)
        json.loads(data, object_pairs_hook=unique)
    except ValidationError as error:
        raise BundleError(f"{path}: {MANIFEST}: {first_fault(error)}") from error
    except InputError as error:
        raise BundleError(f"{path}: {MANIFEST}: {error}") from error
    for name in manifest.files:
        if not _PATH.fullmatch(name) or name.partition("/")[0] in RESERVED:
            raise BundleError(f"{path}: {name!r} has no place in a results folder")
    return manifest, data


def _read(file: IO[bytes] | None, size: int) -> bytes:
    data = file.read(size) if file is not None else b""
    if len(data) != size:
        raise tarfile.ReadError("unexpected end of data")
    return data


def _write(root: Path, target: Path, data: bytes) -> None:
    require_inside(root, target.parent)
    write_atomically(target, data)
