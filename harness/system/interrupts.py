"""Ctrl-C, SIGTERM and a terminal that closes end a command in one way: one KeyboardInterrupt, once.

What must be whole is not interrupted in between. Later signals are passed over, so that tidying up ends too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 0.01


@dataclass
class _Interrupt:
    """Whether this process was asked to end, and whether it knows."""

    asked: int | None = None
    """The signal's number."""
    raised: bool = False
    holds: int = 0

    def take(self, number: int, _frame: FrameType | None) -> None:
        self.asked = number
        self.deliver()

    def deliver(self) -> None:
        if self.asked is not None and not self.raised and not self.holds:
            self.raised = True
            raise KeyboardInterrupt

    def lost(self, found: UnraisableHookArgs, otherwise: Callable[[Any], Any]) -> None:
        """Send the signal again where its interrupt ended in a finaliser, out of which nothing is raised."""
        if self.asked is None or not issubclass(found.exc_type, KeyboardInterrupt):
            otherwise(found)
            return
        self.raised = False
        threading.Timer(_AGAIN_S, os.kill, (os.getpid(), self.asked)).start()


_interrupt = _Interrupt()


def take_signals() -> None:
    """Let the first signal that ends a command raise `KeyboardInterrupt`; the process is that command's.

    What is ignored stays so: `nohup` and a shell's background ask for it.
    """
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt.take)
    otherwise = sys.unraisablehook
    sys.unraisablehook = lambda found: _interrupt.lost(found, otherwise)


@contextmanager
def own_signals() -> Iterator[None]:
    """Undo what a library does within to the signals that end a command; only the main thread may enter."""
    handlers = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def was_interrupted() -> bool:
    """Tell whether an interrupt was raised: a library may have made another error of it."""
    return _interrupt.raised


@contextmanager
def whole() -> Iterator[None]:
    """Hold an interrupt back until the end of the block; only one that `take_signals` takes can be held.

    Raises:
        KeyboardInterrupt: at the end of the block, if there was one within it.
    """
    _interrupt.holds += 1
    try:
        yield
    finally:
        _interrupt.holds -= 1
        _interrupt.deliver()
