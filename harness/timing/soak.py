"""Warm an accelerator until its speed and temperature stand still (docs/method.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from harness.devices.base import Device
from harness.timing.clocks import Clock, HostClock
from harness.timing.loop import Step
from harness.timing.peers import ALONE, Peers

BATCH_S = 0.1
"""The host waits for the device about this often, so that it never queues more than a moment of work."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a device reports at one moment; None is what it does not report."""

    temperature_c: float | None = None
    clock_mhz: float | None = None
    slowdowns: tuple[str, ...] = ()
    """Reasons, thermal or of the hardware, for which it runs slower than it could."""
    states: tuple[str, ...] = ()
    """Other reasons that hold its clock, as a power cap does: normal, and recorded."""


ReadConditions = Callable[[], Conditions]


@dataclass(frozen=True, slots=True)
class SoakSettings:
    """How long to warm, and what counts as standing still; `conf/measure` holds the values."""

    window_s: float = 15.0
    cap_s: float = 240.0
    tolerance: float = 0.001
    celsius_per_minute: float = 1.0


@dataclass(frozen=True, slots=True)
class Window:
    """One window of the soak."""

    iteration_ns: float
    """Mean time of its iterations."""
    ended_ns: int
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Soak:
    """How the soak went; the last window is the reference of the session."""

    steady: bool
    seconds: float
    windows: tuple[Window, ...]

    @property
    def last(self) -> Window:
        """The window that the session starts from."""
        return self.windows[-1]


def soak(
    step: Step,
    *,
    device: Device,
    settings: SoakSettings,
    read: ReadConditions = Conditions,
    clock: Clock | None = None,
    first_index: int = 0,
    peers: Peers = ALONE,
) -> Soak:
    """Run steps in windows until two in a row agree, or until the cap.

    Args:
        step: One iteration, as the session will run them; it has been run before.
        device: An opened device.
        settings: Windows and tolerances.
        read: Tells the device's conditions; asked at the end of each window, while there is work queued.
        clock: The host's clocks.
        first_index: Index of the first step.
        peers: The ranks that run the same steps; rank 0's device decides.
    """
    clock = clock or HostClock()
    began_ns = clock.now_ns()
    windows: list[Window] = []
    index, period_ns, steady = first_index, 0.0, False
    while peers.agree(not steady and (clock.now_ns() - began_ns) / 1e9 < settings.cap_s):
        first, window_ns = index, clock.now_ns()
        while peers.agree((clock.now_ns() - window_ns) / 1e9 < settings.window_s):
            batch_ns = clock.now_ns()
            batch = peers.agree(max(1, math.ceil(BATCH_S * 1e9 / period_ns)) if period_ns else 1)
            for _ in range(batch):
                step(index, _no_mark)
                index += 1
            conditions = read()
            device.synchronize()
            period_ns = max(1.0, (clock.now_ns() - batch_ns) / batch)
        ended_ns = clock.now_ns()
        windows.append(Window((ended_ns - window_ns) / (index - first), ended_ns, conditions))
        steady = len(windows) > 1 and agree(windows[-2], windows[-1], settings)
    return Soak(steady, (clock.now_ns() - began_ns) / 1e9, tuple(windows))


def agree(before: Window, after: Window, settings: SoakSettings) -> bool:
    """Return whether two windows in a row show a device that has settled.

    |m_k / m_{k-1} - 1| is below the tolerance; the temperature, where there is a sensor, changes by less than
    the rate allowed; and nothing, thermal or of the hardware, slows the device down.
    """
    if abs(after.iteration_ns / before.iteration_ns - 1) >= settings.tolerance:
        return False
    if after.conditions.slowdowns:
        return False
    temperatures = before.conditions.temperature_c, after.conditions.temperature_c
    if temperatures[0] is None or temperatures[1] is None:
        return True
    minutes = (after.ended_ns - before.ended_ns) / 60e9
    return abs(temperatures[1] - temperatures[0]) < settings.celsius_per_minute * minutes


def _no_mark(_name: str) -> None:
    """A mark means nothing here."""
