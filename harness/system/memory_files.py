"""Bytes as files that lie in memory alone, for libraries that read nothing but files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def in_memory(contents: Sequence[bytes]) -> Iterator[list[str]]:
    """Give a path for each content, as long as the block lasts; no file system holds any of it.

    Each takes a descriptor of this process.

    Raises:
        OSError: there are not so many descriptors, or not so much memory.
    """
    with contextlib.ExitStack() as held:
        paths = []
        for data in contents:
            descriptor = os.memfd_create("joulemark")
            held.callback(os.close, descriptor)
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            paths.append(f"/proc/self/fd/{descriptor}")
        yield paths
