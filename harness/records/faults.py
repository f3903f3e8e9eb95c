"""What is wrong with a file that others wrote, in one line that names the file and the field."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError


def first_fault(error: ValidationError) -> str:
    """Return the first fault that validation found, behind its place: `metrics.0.delta: Input should …`."""
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
        raise ValueError(f"{path}: {first_fault(error)}") from error
    except OSError as error:
        raise OSError(f"{path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
