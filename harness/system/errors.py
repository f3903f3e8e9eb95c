"""The errors that are the user's to put right, below one base: everything else is a fault of our own.

A room's own error stands in that room and inherits from one of these. Most inherit from a built-in error too,
so that callers of the library need not know ours. What a workload or a statistic raises is none of them: the
caller that knows what was asked for says so in its place.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


class JoulemarkError(Exception):
    """Something that the user can put right; the message is one line that says what, where and what to do."""


class UsageError(JoulemarkError, ValueError):
    """Words of a command that cannot be used together, or that name what is not there."""


class InputError(JoulemarkError, ValueError):
    """A value, or the contents of a file, that cannot be used."""


class ResourceError(JoulemarkError, OSError):
    """A file, a folder or a port that the operating system does not give: absent, forbidden, full, taken."""


DISK_LIMITS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a disk says that takes nothing more."""
HOST_LIMITS = DISK_LIMITS | {
    *(errno.EIO, errno.ENAMETOOLONG, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
"""What the operating system says of a disk, a name or its memory, whichever call met it; no fault of ours."""


@contextlib.contextmanager
def access_to(path: Path) -> Iterator[None]:
    """Put the file's name before what the operating system says of it.

    Raises:
        ResourceError: it cannot be opened, read or written. An error of ours passes as it is.
    """
    try:
        yield
    except JoulemarkError:
        raise
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror or error}") from error
