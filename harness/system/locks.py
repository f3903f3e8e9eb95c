"""Two locks that the kernel frees when their holder dies: one run a sweep, one trial a device."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.system.errors import JoulemarkError, ResourceError, access_to
from harness.system.inside import open_plain, require_inside


class SweepBusyError(JoulemarkError, RuntimeError):
    """Another process is running the same sweep into the same folder."""


class SweepMovedError(ResourceError):
    """The folder of a sweep that runs was renamed, deleted or replaced; nothing is written elsewhere."""


@dataclass(frozen=True, slots=True)
class HeldFolder:
    """A sweep's folder while this process holds it."""

    path: Path
    descriptor: int

    def require(self) -> None:
        """Make sure that the path still leads to the folder that is held.

        Raises:
            SweepMovedError: it leads elsewhere, or nowhere.
        """
        held = os.fstat(self.descriptor)
        try:
            there = self.path.stat(follow_symlinks=False)
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            raise SweepMovedError(
                f"{self.path} was renamed, deleted or replaced while this sweep ran; put it back if it is "
                "elsewhere, then give the same command again"
            )


@contextlib.contextmanager
def sweep_lock(folder: Path) -> Iterator[HeldFolder]:
    """Hold the sweep's folder for this process: the folder itself and the file `.lock` in it.

    A file can be deleted while it is held, and a network file system may lock files alone.

    Raises:
        SweepBusyError: another process holds it.
        OutsideError: the folder is a link, or its lock no plain file.
    """
    require_inside(folder.parent, folder)
    with access_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        file = held.enter_context(open_plain(folder / ".lock"))
        with access_to(folder):
            itself = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        held.callback(os.close, itself)
        try:
            _lock(file, folder / ".lock")
            _lock_folder(itself)
        except BlockingIOError:
            digits = file.read(20).decode(errors="replace").strip()
            holder = digits if digits.isdigit() else "unknown"
            raise SweepBusyError(
                f"{folder}: another run of this sweep is going on (process {holder}); wait for it or stop it"
            ) from None
        with access_to(folder / ".lock"):
            file.truncate(0)
            file.write(str(os.getpid()).encode())
            file.flush()
        yield HeldFolder(folder, itself)


def _lock(file: BinaryIO, path: Path) -> None:
    """Lock a file, or raise `BlockingIOError` where another process has.

    Raises:
        ResourceError: its file system locks nothing.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        raise ResourceError(f"{path}: it cannot be locked ({error.strerror})") from error


def _lock_folder(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass  # a network file system that locks no folder: the file's own lock holds


def _silent(_text: str) -> None:
    """Say nothing."""


@contextlib.contextmanager
def device_locks(
    devices: Iterable[str],
    on_wait: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = _silent,
) -> Iterator[None]:
    """Hold several devices, taken in this order: the same one everywhere, so that no two wait in a ring."""
    with contextlib.ExitStack() as held:
        for device in devices:
            held.enter_context(device_lock(device, on_wait, note))
        yield


@contextlib.contextmanager
def device_lock(
    device: str, on_wait: Callable[[], None] = lambda: None, note: Callable[[str], None] = _silent
) -> Iterator[None]:
    """Wait until no other sweep of this user measures on the device, then hold it.

    Args:
        device: for example `cpu-0`.
        on_wait: called about twice per second while waiting.
        note: called once when there is a wait.
    """
    path = Path(tempfile.gettempdir()) / f"joulemark-{os.getuid()}-{device}.lock"
    with open_plain(path) as file:
        reported = False
        while True:
            try:
                _lock(file, path)
                break
            except BlockingIOError:
                if not reported:
                    note(f"waiting for {device}, which another run measures on")
                reported = True
                on_wait()
                time.sleep(0.5)
        yield
