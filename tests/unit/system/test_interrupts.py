"""One interrupt ends a command: never within what must be whole, and once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from harness.system import interrupts


@pytest.fixture
def interrupt(monkeypatch):
    """An interrupt of the test's own, which the signals of this process do not reach."""
    own = interrupts._Interrupt()
    monkeypatch.setattr(interrupts, "_interrupt", own)
    return own


def test_the_first_signal_interrupts_and_later_ones_do_not(interrupt):
    """So that tidying up ends, however often the signal comes."""
    with pytest.raises(KeyboardInterrupt):
        interrupt.take(signal.SIGTERM, None)
    for number in interrupts.ENDING:
        interrupt.take(number, None)


def test_what_must_be_whole_ends_before_the_interrupt(interrupt):
    """Nested too: the outermost block's end raises it, once."""
    done = []

    def work():
        with interrupts.whole():
            with interrupts.whole():
                interrupt.take(signal.SIGINT, None)
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]
    with interrupts.whole():
        pass


def test_signals_that_are_ignored_stay_so(monkeypatch):
    """A command under `nohup` outlives its terminal."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    taken = []
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(signal, "getsignal", lambda number: handlers.get(number, signal.SIG_IGN))
    monkeypatch.setattr(signal, "signal", lambda number, _handler: taken.append(number))
    interrupts.take_signals()
    assert taken == [signal.SIGINT, signal.SIGTERM]


def test_a_library_does_not_keep_the_signals_that_end_a_command():
    """Ray takes SIGTERM when it connects; where that fails, it is given back too."""
    before = signal.getsignal(signal.SIGTERM)

    @interrupts.own_signals()
    def connect():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        connect()
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_in_a_finaliser_is_not_lost():
    """Python only prints what a finaliser raises: the command would go on as if nobody had asked."""
    program = """
import os, signal, time
from harness.system.interrupts import take_signals
class Slow:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000): pass
        print("not interrupted")
take_signals()
try:
    Slow()
    time.sleep(30)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
