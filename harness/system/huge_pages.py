"""Keeps a process's memory in huge pages: its forks copy, and at their end drop, a few large entries.

Most of what a bare fork takes is the kernel's work on the page tables of what `import torch` left in memory.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

MAPS = Path("/proc/self/maps")
SETTINGS = Path("/sys/kernel/mm/transparent_hugepage")
_MADV_COLLAPSE = 25


def gather(maps: Path = MAPS, settings: Path = SETTINGS) -> int:
    """Move this process's private memory into huge pages, as far as the kernel does it (Linux 6.1 and later).

    What it holds stays as it is. A page that a fork writes to is copied by itself as before.

    Args:
        maps: the kernel's list of this process's mappings.
        settings: the kernel's settings of huge pages; with `never` nothing is moved.

    Returns:
        The bytes that were moved, or lay in huge pages already.
    """
    try:
        if "[never]" in (settings / "enabled").read_text():
            return 0
        size = int((settings / "hpage_pmd_size").read_text())
        found = maps.read_text().splitlines()
    except OSError:
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    moved = 0
    for line in found:
        place, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights != "rw-p" or inode != "0" or name not in ([], ["[heap]"]):
            continue
        start, stop = (int(address, 16) for address in place.split("-"))
        start, stop = -(-start // size) * size, stop // size * size
        if start < stop and madvise(start, stop - start, _MADV_COLLAPSE) == 0:
            moved += stop - start
    return moved
