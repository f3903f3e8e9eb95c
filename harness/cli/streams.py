"""Standard output and error as they are found: closed, full, without a listener, or of few characters."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


def prepare() -> None:
    """Let every character be written somehow, and let a stream that is closed swallow what it gets.

    What this process starts finds the three standard streams too: a worker without them could not end well.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Go on where nobody takes what is printed: the exit code still is the truth."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        # Its reader has left, as `head` does, or its disk is full.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
