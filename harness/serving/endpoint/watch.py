"""Whether the client could see what it says: its loop's lag, its CPU, and how late its reads were."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from harness.serving.endpoint.client import Told

BEAT_S = 0.005
_HIGH = 0.99


class LoopWatch:
    """Beats on the event loop while it is entered, and notes how late each beat comes."""

    def __init__(
        self,
        clock: Callable[[], int] = time.perf_counter_ns,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._clock, self._cpu_clock = clock, cpu_clock
        self.lag_ns: list[int] = []
        self.cpu_share = 0.0
        """Of the loop's thread, over the time that it was watched."""

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._began_ns, self._began_cpu_ns = self._clock(), self._cpu_clock()
        self._next()
        return self

    def __exit__(self, *_error: object) -> None:
        self._beat.cancel()
        wall_ns = max(1, self._clock() - self._began_ns)
        self.cpu_share = (self._cpu_clock() - self._began_cpu_ns) / wall_ns

    def _next(self) -> None:
        self._due_ns = self._clock() + round(BEAT_S * 1e9)
        self._beat = self._loop.call_later(BEAT_S, self._note)

    def _note(self) -> None:
        self.lag_ns.append(max(0, self._clock() - self._due_ns))
        self._next()


def client_facts(told: Sequence[Told], watch: LoopWatch) -> dict[str, Any]:
    """Return what the client knows of itself over the counted requests, as evidence.

    `late_s` is the 99th percentile of what stood between an event's arrival at this machine and its stamp:
    the larger one of the reads' own lateness, as the kernel's stamps show it, and the loop's lag, which also
    covers what came earlier into the same read. `sent_late_s` is the same of what stood between a request's
    arrival and its sending.
    """
    seen = [one.seen for one in told if one.request.counted]
    requests = [one.request for one in told if one.request.counted]
    late_ns = [late for one in seen for late in one.late_ns]
    sent_ns = [late for request in requests if (late := request.queue_ns) is not None]
    high = [value for value in (_high_s(late_ns), _high_s(watch.lag_ns)) if value is not None]
    return {
        "late_s": max(high, default=None),
        "late_reads_s": _high_s(late_ns),
        "latest_read_s": max(late_ns) / 1e9 if late_ns else None,
        "loop_lag_s": _high_s(watch.lag_ns),
        "sent_late_s": _high_s(sent_ns),
        "cpu_share": watch.cpu_share,
        "kernel_stamps": not any(one.lateness_unknown for one in seen),
        "reads": sum(one.reads for one in seen),
        "events": sum(one.events for one in seen),
        "pieces": sum(len(request.token_ns) for request in requests),
        "pieces_per_answer": _mean([len(r.token_ns) for r in requests if r.answered]),
        "shared_reads": sum(one.shared_reads for one in seen),
        "shared_pieces": sum(one.shared_pieces for one in seen),
        "reconnected": sum(one.reconnected for one in seen),
    }


def _high_s(values_ns: Sequence[int]) -> float | None:
    """Return the 99th percentile, s, never below the middle of the two values around it."""
    return float(np.quantile(values_ns, _HIGH, method="higher")) / 1e9 if values_ns else None


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None
