"""Ctrl-C, SIGTERM and a terminal that closes end a command in one way: one KeyboardInterrupt, once.

What must be whole is not interrupted in between. Later signals are passed over, so that tidying up ends too.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class _Interrupt:
    """Whether this process was asked to end, and whether it knows."""

    asked: bool = False
    raised: bool = False
    holds: int = 0

    def take(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        self.deliver()

    def deliver(self) -> None:
        if self.asked and not self.raised and not self.holds:
            self.raised = True
            raise KeyboardInterrupt


_interrupt = _Interrupt()


def take_signals() -> None:
    """Let the first signal that ends a command raise `KeyboardInterrupt`; the process is that command's.

    What is ignored stays so: `nohup` and a shell's background ask for it.
    """
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt.take)


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
