"""Where records lie: a walk beneath a sweep's folder that opens no file and follows no link."""

from __future__ import annotations

import os
from collections.abc import Iterator

from harness.system.errors import ResourceError

RECORD = "record.json"
DEPTH = 3
"""Folders between a sweep's and an attempt's record: machine, trial, attempt."""


def entries(folder: str) -> list[os.DirEntry[str]]:
    """Return what a folder holds, by name; nothing where there is no such folder.

    Raises:
        ResourceError: it cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ResourceError(f"{folder}: {error.strerror or error}") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry leads to a folder; one that leads nowhere, as a link to itself, does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def find(folder: str, depth: int = DEPTH) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield every `record.json` at most `depth` folders below `folder`, in order, also where none belongs.

    Each comes with what `lstat` says of it. A linked folder and one that cannot be read are yielded
    themselves, with None, so that whoever reads them reports them.
    """
    try:
        found = entries(folder)
    except OSError:
        yield folder, None
        return
    for entry in found:
        if entry.name == RECORD:
            yield entry.path, _lstat(entry.path)
        elif not depth or not is_folder(entry):
            continue
        elif entry.is_symlink():
            yield entry.path, None
        elif depth == 1:
            yield from _attempt(entry.path)
        else:
            yield from find(entry.path, depth - 1)


def _attempt(folder: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Ask for the record alone: attempts are many, and opening each folder takes longer than this."""
    path = f"{folder}/{RECORD}"
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError:
        yield from find(folder, 0)
    else:
        yield path, facts


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
