"""Hand device time to pytest-benchmark, through its public API alone: a timer, and `pedantic`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

MAX_ROUNDS = 1 << 13
"""Rounds that one test keeps; of shorter work, several samples make a round."""


class DeviceTimer:
    """A clock that reads the device time that has passed since its last reading, in seconds.

    A round starts right after the end of the one before, when the reading is zero: the difference of its two
    readings is then its device time exactly, without a rounding error of a growing clock.
    """

    __name__ = "device_time"  # what pytest-benchmark's files call the timer

    def __init__(self) -> None:
        self.passed_s = 0.0

    def __call__(self) -> float:
        """Read the time, and start again from zero."""
        passed, self.passed_s = self.passed_s, 0.0
        return passed

    def __repr__(self) -> str:
        # pytest-benchmark compares options by their text from run to run.
        return "joulemark.device_time"


_TIMER = pytest.StashKey[DeviceTimer]()


def use_device_time(item: pytest.Item) -> None:
    """Give the test's `benchmark` fixture the virtual timer; its other settings stay.

    That fixture is ours to use: a test that fails before it measured is not warned that it went unused.
    """
    marker = item.get_closest_marker("benchmark")
    timer = item.stash[_TIMER] = DeviceTimer()
    kept = dict(marker.kwargs) if marker is not None else {}
    item.add_marker(pytest.mark.benchmark(**{**kept, "timer": timer}), append=False)
    item.add_marker(pytest.mark.filterwarnings("ignore:Benchmark fixture was not used at all"))


def save(item: pytest.Item, benchmark: Any, durations_s: Sequence[float], iterations: int) -> None:
    """Let pytest-benchmark make its statistics of measured durations.

    Args:
        item: a test for which `use_device_time` was called.
        benchmark: its `benchmark` fixture.
        durations_s: of samples of `iterations` iterations each, in order.
        iterations: iterations in one sample.
    """
    timer = item.stash[_TIMER]
    together = math.ceil(len(durations_s) / MAX_ROUNDS)
    rounds = [
        math.fsum(durations_s[i : i + together]) for i in range(0, len(durations_s) - together + 1, together)
    ]
    per_round = iterations * together
    calls = iter(range(len(rounds) * per_round))

    def replay() -> None:
        call = next(calls, None)
        # `pedantic` calls a round's iterations one by one, and once more after the last round.
        if call is not None and call % per_round == 0:
            timer.passed_s += rounds[call // per_round]

    benchmark.pedantic(replay, rounds=len(rounds), iterations=per_round)
