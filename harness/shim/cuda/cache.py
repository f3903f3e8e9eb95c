"""Compiled images in the user's cache folder: an entry carries its own hash, and a damaged one is absent."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

_DIGEST_BYTES = hashlib.sha256().digest_size


def folder() -> Path:
    """Return the folder of compiled kernels, below `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "joulemark" / "kernels"


def key(*parts: str) -> str:
    """Return the digest that names an entry made from these parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:32]


def load(name: str) -> bytes | None:
    """Return an entry's content, or None when it is absent, unreadable or damaged."""
    try:
        data = (folder() / name).read_bytes()
    except OSError:
        return None
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def store(name: str, content: bytes) -> None:
    """Write an entry under a temporary name and rename it; two writers at once end with the same entry.

    A folder that cannot be written costs a compilation each time, never a result.
    """
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = folder() / f".{name}-{os.getpid()}"
        try:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            temporary.replace(folder() / name)
        finally:
            temporary.unlink(missing_ok=True)
