"""A world whose time moves only when a step says so."""

from __future__ import annotations

import pytest
from standins.scripted import ScriptedAccelerator, ScriptedClock, ScriptedDevice, ScriptedStream


@pytest.fixture
def log() -> list[str]:
    """Return what happened, in order."""
    return []


@pytest.fixture
def clock() -> ScriptedClock:
    """Return a clock that stands still."""
    return ScriptedClock()


@pytest.fixture
def device(clock: ScriptedClock, log: list[str]) -> ScriptedDevice:
    """Return a CPU in scripted time."""
    return ScriptedDevice(clock, log)


@pytest.fixture
def stream(clock: ScriptedClock) -> ScriptedStream:
    """Return a queue of device work."""
    return ScriptedStream(clock)


@pytest.fixture
def accelerator(clock: ScriptedClock, log: list[str], stream: ScriptedStream) -> ScriptedAccelerator:
    """Return an accelerator in scripted time."""
    return ScriptedAccelerator(clock, log, stream)
