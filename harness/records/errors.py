"""Errors in one line: of any kind, and of files that others wrote, with the file's and the field's name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from harness.system.errors import InputError, ResourceError

_MOST_FAULTS = 1000
"""That are put into words to show the first: each key too many is a fault, and a kilobyte then."""


def one_line(error: Exception, most: int = 300) -> str:
    """Return an error's words in one line of at most so many characters."""
    return " ".join(str(error).split())[:most]


def kind_and_words(error: Exception) -> str:
    """Return an error's type and words in one line."""
    return f"{type(error).__name__}: {one_line(error)}"


def first_fault(error: ValidationError) -> str:
    """Return the first fault that validation found, behind its place: `metrics.0.delta: Input should …`."""
    if (count := error.error_count()) > _MOST_FAULTS:
        return f"{count} faults"
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


@contextlib.contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Put the file's name before every fault that is raised while it is read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what it should be.
    """
    try:
        yield
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
