"""What a store cannot do, in one line that says what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from harness.system.errors import JoulemarkError, ResourceError
from harness.system.inside import OutsideError

_ADVICE = {
    errno.EROFS: "it is on a read-only file system; choose another folder with run.results=PATH",
    errno.ENOSPC: "the disk is full; free some space or choose another folder with run.results=PATH",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder with run.results=PATH",
    errno.EACCES: "permission denied; fix its permissions or choose another folder with run.results=PATH",
    errno.EPERM: "permission denied; fix its permissions or choose another folder with run.results=PATH",
    errno.ENOTDIR: "a part of the path is not a folder; choose another with run.results=PATH",
    errno.EEXIST: "it is a file, not a folder; choose another with run.results=PATH",
}


class AttemptTakenError(JoulemarkError, FileExistsError):
    """The attempt has its record, or another process writes it or died doing so; take the next attempt."""


class StoreError(ResourceError):
    """The store cannot be written, or its plan cannot be read; one line says what to do."""


@contextlib.contextmanager
def advised(root: Path) -> Iterator[None]:
    """Turn the operating system's error into one line that says what to do."""
    try:
        yield
    except AttemptTakenError:
        raise
    except OutsideError as error:
        raise StoreError(f"cannot write records: {error}; copy what it names, or remove it") from error
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"cannot write records in {root}: {advice}") from error
