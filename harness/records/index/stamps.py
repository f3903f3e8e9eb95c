"""What tells whether a trial's folder is still as it was read: its records' sizes and times.

Times are those of the file system that holds the records, which may count in whole seconds: a file that is
changed twice within one tick of its clock can keep its size and its times. What was read so soon after its
last change is read once more when it is asked for again, and its digest decides.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.records.listing import RECORD, find
from harness.records.store import Store, digest_of

Listing = dict[str, str]
"""By trial's folder below the root, its stamps: of every file that may be a record the size, the times of
change in ns of its contents and of its inode, and the name below the folder. The last time is the kernel's
own and cannot be set back."""

TICK_NS = 2 * 10**9
"""The coarsest clock of a file system that is in use: FAT counts in two seconds, older NFS in one."""
_END = "\0"
_UNKNOWN = f"-1 0 0 {{name}}{_END}"


def listing(store: Store, sweep: str) -> Listing:
    """Return what lies in a sweep's folder: every file that may be a record, by its trial's folder."""
    found: Listing = {}
    cut = len(str(store.root)) + 1
    for path, facts in find(str(store.sweep_dir(sweep))):
        folder, _, name = path[cut:].rpartition("/")
        if name == RECORD and folder.count("/") == 3:
            folder, _, attempt = folder.rpartition("/")
            name = f"{attempt}/{RECORD}"
        if facts is None:
            stamp = _UNKNOWN.format(name=name)
        else:
            stamp = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {name}{_END}"
        found[folder] = found[folder] + stamp if folder in found else stamp
    return found


def files(stamps: str) -> int:
    """Return how many files that may be records the stamps are of."""
    return stamps.count(_END)


def names(folder: str, stamps: str) -> Iterator[str]:
    """Yield the path below the root of every file that may be a record, in the listing's order."""
    for stamp in stamps.split(_END)[:-1]:
        name = stamp.split(" ", 3)[3]
        yield f"{folder}/{name}" if folder else name


def is_known(stamps: str) -> bool:
    """Tell whether stamps say anything of every file: nothing is known of one that could not be looked at."""
    return not stamps.startswith("-1 ") and f"{_END}-1 " not in stamps


def newest_ns(stamps: str) -> int:
    """Return the latest time of any change, by the clock of the file system."""
    times = [stamp.split(" ", 3)[1:3] for stamp in stamps.split(_END)[:-1]]
    return max(int(time) for both in times for time in both)


def digests(store: Store, folder: str, stamps: str) -> str:
    """Return the sha256 of each file, one after another."""
    return " ".join([digest_of(f"{store.root}/{name}") for name in names(folder, stamps)])
