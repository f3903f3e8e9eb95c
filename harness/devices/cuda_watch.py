"""The clock of every SM around a measured span, by our own stamps: throttling shows without any privilege."""

from __future__ import annotations

import time
from typing import Any

from harness.devices.base import Watch
from harness.shim.cuda.clock import Clocks
from harness.shim.cuda.driver import LIBRARY
from harness.shim.cuda.stamps import SmClock, throttle
from harness.shim.errors import ShimError


class SmWatch(Watch):
    """Stamps every SM when made, at the start and at the end of the span; a launch each.

    Where the shim cannot load, the evidence holds the reason, and nothing is stamped.

    Args:
        index: Which device, as torch numbers them. The device is open.
        library: The driver's library.
    """

    def __init__(self, index: int, library: str = LIBRARY) -> None:
        self._reason: str | None = None
        self._host_ns: list[int] = []
        try:
            self._clocks = Clocks(index, library=library)
            self._tick_ns = self._clocks.tick_ns()
            self._tags = [self._stamp()]
        except ShimError as error:
            self._reason = str(error)

    def __enter__(self) -> None:
        """Stamp: from here on it is the span."""
        self._note()

    def __exit__(self, *_exception: object) -> None:
        """Stamp: here the span ended."""
        self._note()

    def evidence(self, soak_hz: float | None = None) -> dict[str, Any]:
        """Return `sm_clock` (Hz, spread, SMs, reference, drop, tick and host cost) and `sm_throttled`.

        Args:
            soak_hz: The clock of the session soak's last window; without one the reference is the warm-up's.
        """
        if self._reason is not None:
            return {"sm_clock": {"reason": self._reason}}
        try:
            return self._judged(soak_hz)
        except (ShimError, ValueError) as error:  # ValueError: the stamps give no clock
            return {"sm_clock": {"reason": str(error)}}
        finally:
            self._clocks.close()

    def _judged(self, soak_hz: float | None) -> dict[str, Any]:
        made, began, ended = self._tags
        clock = self._between(began, ended)
        reference_hz = soak_hz or self._between(made, began).median_hz
        verdict = throttle(reference_hz, clock.median_hz)
        return {
            "sm_clock": {
                "hz": clock.median_hz,
                "spread": clock.spread,
                "sms": len(clock.hz),
                "reference_hz": reference_hz,
                "reference": "soak" if soak_hz else "warm-up",
                "drop": verdict.drop,
                "tick_ns": self._tick_ns,
                "host_ns": max(self._host_ns[1:]),
            },
            "sm_throttled": verdict.throttled,
        }

    def _between(self, first: int, second: int) -> SmClock:
        with self._clocks.context:
            return self._clocks.clock_between(first, second)

    def _note(self) -> None:
        if self._reason is None:
            try:
                self._tags.append(self._stamp())
            except ShimError as error:
                self._reason = str(error)

    def _stamp(self) -> int:
        begin = time.perf_counter_ns()
        with self._clocks.context:
            tag = self._clocks.snapshot()
        self._host_ns.append(time.perf_counter_ns() - begin)
        return tag
