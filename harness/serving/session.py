"""A session: users ask, the engine answers, and every token is stamped when the caller has it.

One step of the session is one step of the engine, or a wait for the next arrival. The clock of the stamps
stands still while the session is paused, so that what is done around a measured span costs no user time.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from harness.serving.lengths import Length
from harness.serving.requests import ANSWERED, REJECTED, UNFINISHED, ServedRequest

if TYPE_CHECKING:
    from workloads.engine.continuous_batching import Token

LONGEST_WAIT_NS = 20_000_000
"""Of one step without work: an iteration stays short, and an arrival is never slept over."""


class Server(Protocol):
    """What answers: an engine, several behind a balancer, or a script."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""

    @property
    def begun(self) -> list[int]:
        """Numbers of the requests whose reading began in the last step."""

    def ask(self, number: int, length: Length) -> str | None:
        """Take a request; return why it is rejected, or None."""

    def step(self) -> list[Token]:
        """Work a little; return the tokens that came."""

    def rest(self) -> None:
        """Hear that a step of the session had no work."""


@dataclass(slots=True)
class _Open:
    length: Length
    arrival_ns: int
    counted: bool
    start_ns: int | None = None
    token_ns: list[int] = field(default_factory=list)


class Session:
    """Keeps up a load on a server and logs its requests; as a context, the span whose arrivals count.

    Args:
        server: Idle.
        lengths: Of the requests, without end.
        arrivals_s: Since the first step, of an open loop, without end; None is a closed loop.
        concurrency: Users of the closed loop: each asks again when it has its answer.
        now_ns: A monotonic clock; tests script it.
        sleep_s: Waits; tests script it.
    """

    def __init__(
        self,
        server: Server,
        lengths: Iterator[Length],
        *,
        arrivals_s: Iterator[float] | None = None,
        concurrency: int = 1,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server, self._lengths, self._times = server, lengths, arrivals_s
        self._clock, self._sleep_s = now_ns, sleep_s
        self._paused = True
        self._seen_ns = self._lost_ns = now_ns()
        """The clock when it was read last, and what the clock of the stamps lags behind it: all pauses."""
        self._due = [0] * concurrency if arrivals_s is None else [self._next_arrival_ns()]
        """When users will ask, a heap."""
        self._open: dict[int, _Open] = {}
        self._closed: list[ServedRequest] = []
        self._asked = 0
        self._span_ns: list[int] = []

    @property
    def span_ns(self) -> tuple[int, int]:
        """Begin and end of the measured span, on the clock of the stamps."""
        begin, end = self._span_ns
        return begin, end

    @property
    def requests(self) -> tuple[ServedRequest, ...]:
        """The log in the order of arrival; what is not answered yet is unfinished."""
        now_ns = self._seen_ns - self._lost_ns
        unfinished = [_logged(number, one, now_ns, UNFINISHED) for number, one in self._open.items()]
        return tuple(sorted((*self._closed, *unfinished), key=lambda request: request.number))

    def __enter__(self) -> Self:
        """Begin the span; what passed since the last step is a pause."""
        self._paused = True
        self._span_ns = [self._now_ns()]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span."""
        self._span_ns.append(self._now_ns())
        self._paused = True

    def step(self, _index: int = 0, _mark: Callable[[str], None] | None = None) -> None:
        """Let users ask who are due, and the server work once; without work wait a while."""
        begin_ns = self._now_ns()
        asking = list[int]()
        while self._due and self._due[0] <= begin_ns:
            asking.append(heapq.heappop(self._due))
            if self._times is not None:
                heapq.heappush(self._due, self._next_arrival_ns())
        for arrival_ns in asking:  # who is turned away asks again in the next step, not in this one
            self._ask(arrival_ns, begin_ns)
        if self._server.idle:
            wait_ns = min(LONGEST_WAIT_NS, self._due[0] - begin_ns) if self._due else LONGEST_WAIT_NS
            self._sleep_s(max(0, wait_ns) / 1e9)
            self._server.rest()
            self._now_ns()  # the wait was no pause
            return
        tokens = self._server.step()
        end_ns = self._now_ns()
        for number in self._server.begun:
            self._open[number].start_ns = begin_ns
        for token in tokens:
            self._open[token.request].token_ns.append(end_ns)
            if token.last:
                self._close(token.request, end_ns, ANSWERED)

    def drain(self, limit_s: float) -> None:
        """Keep up the load until every counted request has ended, or for `limit_s`; then pause."""
        limit_ns = self._now_ns() + round(limit_s * 1e9)
        while self._counting() and self._now_ns() < limit_ns:
            self.step()
        self._paused = True

    def _counting(self) -> bool:
        """Tell whether a counted request is open, or will still be asked."""
        late = bool(self._due) and self._times is not None and self._due[0] <= self._span_ns[1]
        return late or any(request.counted for request in self._open.values())

    def _now_ns(self) -> int:
        """Return the time of the stamps; the clock runs on if it stood."""
        now = self._clock()
        if self._paused:
            self._lost_ns += now - self._seen_ns
            self._paused = False
        self._seen_ns = now
        return now - self._lost_ns

    def _next_arrival_ns(self) -> int:
        assert self._times is not None
        return round(next(self._times) * 1e9)

    def _ask(self, arrival_ns: int, now_ns: int) -> None:
        number, length = self._asked, next(self._lengths)
        self._asked += 1
        counted = bool(self._span_ns) and self._span_ns[0] <= arrival_ns
        counted = counted and (len(self._span_ns) == 1 or arrival_ns <= self._span_ns[1])
        self._open[number] = _Open(length, arrival_ns, counted)
        if self._server.ask(number, length) is not None:
            self._close(number, now_ns, REJECTED)

    def _close(self, number: int, end_ns: int, ended: str) -> None:
        one = self._open.pop(number)
        if self._times is None:
            heapq.heappush(self._due, end_ns)  # the same user asks again
        self._closed.append(_logged(number, one, end_ns, ended))


def _logged(number: int, one: _Open, end_ns: int, ended: str) -> ServedRequest:
    return ServedRequest(
        number=number,
        arrival_ns=one.arrival_ns,
        start_ns=one.start_ns,
        token_ns=tuple(one.token_ns),
        tokens=len(one.token_ns),
        end_ns=end_ns,
        ended=ended,
        prompt_tokens=one.length.prompt_tokens,
        counted=one.counted,
    )
