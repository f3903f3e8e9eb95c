"""Who asks when: users of a closed loop, or the arrivals of an open one, before, within and after a span.

The requests that arrive within the span are counted. The load starts before it and stays until each of them
has ended, so that none of them saw fewer others than it should.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.serving.endpoint.client import Seen, Told
from harness.serving.endpoint.failures import CLIENT_LIMIT
from harness.serving.requests import ServedRequest

PAUSE_S = 1.0
"""How long a user waits after a failure where the server names no time (`Retry-After`)."""
RAMP_S = 1.0
"""Over which the users of a closed loop begin, at most; a burst of connections is no load of theirs."""
_LOOK_S = 0.01
MOST_IN_FLIGHT = 4096


class Ask(Protocol):
    """Sends one request; a failure is an outcome."""

    def __call__(self, number: int, *, arrival_ns: int, counted: bool) -> Awaitable[Told]:
        """Send request `number`."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is measured, s."""

    warmup_s: float
    seconds: float
    least: int = 1
    """Requests that must arrive in it; a slow server's span is longer."""
    longest_s: float = 3600.0


@dataclass
class Loaded:
    """A run: every request, and the span on the clock of their stamps."""

    told: list[Told] = field(default_factory=list)
    begin_ns: int = 0
    end_ns: int = 0

    @property
    def requests(self) -> list[ServedRequest]:
        """The log, in the order of the arrivals."""
        return sorted((told.request for told in self.told), key=lambda request: request.number)


class Load:
    """One run over one span."""

    def __init__(
        self,
        ask: Ask,
        span: Span,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        on_phase: Callable[[str], None] = lambda _phase: None,
        around: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        """Take how to ask and for how long; `around` is entered when the span begins and left at its end."""
        self._ask, self._span, self._clock = ask, span, clock
        self._on_phase, self._around = on_phase, around or nullcontext()
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loaded = Loaded()
        self._arrived = self._waited_for = 0
        self._over, self._closed = asyncio.Event(), False
        self._failure: BaseException | None = None

    async def closed(self, users: int) -> Loaded:
        """Let so many users ask, each again when its answer is there."""
        self._begin()
        step_s = min(RAMP_S, self._span.warmup_s) / users
        for i in range(users):
            self._start(self._user(i * step_s))
        return await self._ended()

    async def open(self, arrivals_s: Iterator[float]) -> Loaded:
        """Ask at these times since the start, whether earlier answers are there or not."""
        self._begin()
        self._start(self._schedule(arrivals_s))
        return await self._ended()

    def _begin(self) -> None:
        self._began_ns = self._clock()
        self._loaded.begin_ns = self._began_ns + round(self._span.warmup_s * 1e9)
        self._loaded.end_ns = self._loaded.begin_ns + round(self._span.seconds * 1e9)
        self._last_ns = self._loaded.begin_ns + round(self._span.longest_s * 1e9)

    async def _ended(self) -> Loaded:
        self._start(self._look())
        try:
            await self._over.wait()
        finally:
            for task in (rest := tuple(self._tasks)):
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        return self._loaded

    async def _look(self) -> None:
        """Close the span when it has lasted and holds enough, and end when its requests have ended."""
        await self._until(self._loaded.begin_ns)
        self._on_phase("measure")
        async with self._around:
            await self._until(self._loaded.end_ns)
            while self._arrived < self._span.least and self._loaded.end_ns < self._last_ns:
                self._loaded.end_ns += round(_LOOK_S * 1e9)
                await self._until(self._loaded.end_ns)
        self._closed = True
        if not self._waited_for:
            self._over.set()

    async def _until(self, at_ns: int) -> None:
        await asyncio.sleep(max(0.0, (at_ns - self._clock()) / 1e9))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()  # a fault of ours: no request raises
            self._over.set()

    async def _user(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        while True:
            told = await self._one(self._clock())
            if not told.request.answered:
                wait_s = told.seen.retry_after_s
                await asyncio.sleep(PAUSE_S if wait_s is None else wait_s)

    async def _schedule(self, arrivals_s: Iterator[float]) -> None:
        for at_s in arrivals_s:
            arrival_ns = self._began_ns + round(at_s * 1e9)
            await self._until(arrival_ns)
            self._start(self._sent(arrival_ns))

    async def _sent(self, arrival_ns: int) -> None:
        await self._one(arrival_ns)

    async def _one(self, arrival_ns: int) -> Told:
        counted = self._loaded.begin_ns <= arrival_ns < self._loaded.end_ns
        waited_for = arrival_ns < self._loaded.end_ns
        number = next(self._numbers)
        self._arrived += counted
        self._waited_for += waited_for
        try:
            if len(self._tasks) > MOST_IN_FLIGHT:
                told = _unsent(number, arrival_ns, self._clock(), counted=counted)
            else:
                told = await self._ask(number, arrival_ns=arrival_ns, counted=counted)
            self._loaded.told.append(told)
        finally:
            self._waited_for -= waited_for
            if self._closed and not self._waited_for:
                self._over.set()
        return told


def _unsent(number: int, arrival_ns: int, end_ns: int, *, counted: bool) -> Told:
    request = ServedRequest(number, arrival_ns, end_ns, CLIENT_LIMIT, counted=counted)
    return Told(request, Seen(problem=f"more than {MOST_IN_FLIGHT} requests under way"))
