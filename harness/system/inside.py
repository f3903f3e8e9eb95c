"""Writing beneath one folder and nowhere else: what is there may be copied from a stranger, with links.

A folder that the user names may itself be a link; what lies beneath it must not lead out of it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from harness.system.errors import ResourceError


class OutsideError(ResourceError):
    """A path beneath a folder leads out of it, or is not what it should be; nothing was written."""


def require_inside(root: Path, folder: Path) -> None:
    """Make sure that a folder lies in `root` once every link is followed; it need not exist.

    Raises:
        OutsideError: a link leads out of `root`.
    """
    try:
        inside = folder.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # a link that leads to itself, by the version of Python
        raise OutsideError(f"{folder} leads nowhere: it is a link to itself, or lies beneath one") from error
    if not inside:
        raise OutsideError(f"{folder} leads out of {root}: it is a link, or lies beneath one")


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read and write, made if it is not there; never through a link, a pipe or a device.

    Raises:
        OutsideError: something else than a plain file with one name is there.
        ResourceError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise OutsideError(f"{path} is not a plain file; remove it") from error
        raise ResourceError(f"{path}: {error.strerror}") from error
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
        os.close(descriptor)
        raise OutsideError(f"{path} is not a plain file of one name; remove it")
    return os.fdopen(descriptor, "r+b")
