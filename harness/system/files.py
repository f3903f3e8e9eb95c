"""Files written whole or not at all: a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.system.errors import ResourceError, access_to


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o777) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` at the end, or goes if that fails.

    Folders that are missing are made with `mode`.

    Raises:
        ResourceError: it cannot be written, or is a device, a pipe or a socket; what was there is there.
    """
    with access_to(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ResourceError(f"{path}: not a plain file, and no file takes its place")
        path.parent.mkdir(parents=True, exist_ok=True, mode=mode)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)  # what a killed process left, or a link
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, mode: int = 0o777) -> Path:
    """Write text or bytes to a path and return it; folders that are missing are made with `mode`.

    Raises:
        ResourceError: it cannot be written; what was there is there.
    """
    with replacing(path, mode) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_synced(path: Path, data: bytes) -> None:
    """Create a file, which must not exist, and sync it; a failure leaves none.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
    """
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise


def sync_folder(folder: Path) -> None:
    """Make sure that a name that was made in a folder outlives a loss of power.

    Raises:
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network and user-space file systems cannot sync a folder; the file itself is synced.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
