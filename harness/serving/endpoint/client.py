"""One request to an endpoint, from the moment that its user wanted it to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.serving.endpoint.address import Address, Key
from harness.serving.endpoint.answer import Answer, error_text
from harness.serving.endpoint.connection import Connection, Place, Read, resolve
from harness.serving.endpoint.failures import (
    MALFORMED,
    RESET,
    STALLED,
    TIMEOUT,
    RequestError,
    one_line,
    retry_after_s,
)
from harness.serving.endpoint.sse import EventCutter
from harness.serving.requests import ANSWERED, ServedRequest

Api = Literal["chat", "completions"]
_PATHS: dict[str, str] = {"chat": "/chat/completions", "completions": "/completions"}
_ERROR_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """What is the same for every request."""

    address: Address
    model: str
    api: Api = "chat"
    key: Key | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request's JSON."""
    timeout_s: float = 120.0
    """Of one request."""
    pause_s: float = 30.0
    """The longest that a stream may say nothing before it counts as stalled."""

    def most(self, output_tokens: int) -> int | None:
        """Return the most tokens that an answer may have; None where a further field leaves it open."""
        limits = {"max_tokens": output_tokens, **self.extra}
        found = limits.get("max_completion_tokens", limits["max_tokens"])
        return found if isinstance(found, int) else None

    def request(self, prompt: str, output_tokens: int) -> bytes:
        """Return a whole request."""
        body: dict[str, Any] = {
            "model": self.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": output_tokens,
            **self.extra,
        }
        if self.api == "chat":
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        data = json.dumps(body).encode()
        key = b"" if self.key is None else self.key.header()
        head = (
            f"POST {self.address.path}{_PATHS[self.api]} HTTP/1.1\r\nHost: {self.address.name}\r\n"
            "Content-Type: application/json\r\nAccept: text/event-stream\r\nAccept-Encoding: identity\r\n"
            f"User-Agent: joulemark\r\nContent-Length: {len(data)}\r\n"
        )
        return head.encode() + key + b"\r\n" + data


@dataclass(slots=True)
class Seen:
    """What of a request is no part of its times."""

    reads: int = 0
    shared_reads: int = 0
    """Reads that held more than one event: their events have one stamp."""
    shared_pieces: int = 0
    """Pieces with the stamp of the piece before."""
    late_ns: list[int] = field(default_factory=list)
    """Of each read, how long its newest bytes had lain in the kernel."""
    lateness_unknown: bool = False
    status: int = 0
    events: int = 0
    empty_first: bool = False
    done: bool = False
    reasoned: bool = False
    model: str | None = None
    """What the server said that it answers with."""
    false_usage: bool = False
    """Whether the server told a number of tokens that cannot be."""
    problem: str = ""
    """What the server or the system said of a failure."""
    retry_after_s: float | None = None
    reconnected: bool = False
    """Whether a kept connection had been closed by the server and the request went over a new one."""


@dataclass(frozen=True, slots=True)
class Told:
    """A request and what was seen beside it."""

    request: ServedRequest
    seen: Seen


class Client:
    """Asks one endpoint; keeps connections that the server keeps. Use `await Client.open(asked)`."""

    def __init__(self, asked: Asked, places: list[Place]) -> None:
        self._asked, self._places = asked, places
        self._secure = ssl.create_default_context() if asked.address.secure else None
        self._idle: list[Connection] = []

    @classmethod
    async def open(cls, asked: Asked) -> Client:
        """Look the server up.

        Raises:
            RequestError: no such host.
        """
        return cls(asked, await resolve(asked.address))

    def close(self) -> None:
        """Close what is kept open."""
        while self._idle:
            self._idle.pop().abandon()

    async def ask(
        self, number: int, prompt: str, output_tokens: int, *, arrival_ns: int, counted: bool = True
    ) -> Told:
        """Ask, and return how it went: a failure is an outcome and no exception.

        Args:
            number: Of the request.
            prompt: Its text.
            output_tokens: The most that the answer may have.
            arrival_ns: When its user wanted it, on `time.perf_counter_ns`.
            counted: Whether it is one of those that are measured.
        """
        exchange = _Exchange(self._asked)
        start_ns = time.perf_counter_ns()
        ended = ANSWERED
        try:
            async with asyncio.timeout(self._asked.timeout_s):
                await self._exchanged(exchange, self._asked.request(prompt, output_tokens))
            exchange.seen.false_usage = exchange.answer.drop_false_usage(self._asked.most(output_tokens))
        except TimeoutError:
            ended = TIMEOUT
            exchange.seen.problem = f"no end within {self._asked.timeout_s:g} s"
        except RequestError as error:
            ended = error.kind
            exchange.seen.problem = self._shown(str(error))
            exchange.seen.retry_after_s = error.retry_after_s
        answer = exchange.answer
        end_ns = answer.token_ns[-1] if ended == ANSWERED else time.perf_counter_ns()
        exchange.seen.events, exchange.seen.done = answer.events, answer.done
        exchange.seen.empty_first, exchange.seen.reasoned = answer.empty_first, answer.reasoned
        exchange.seen.model = None if answer.model is None else self._shown(answer.model)
        request = ServedRequest(
            number=number,
            arrival_ns=arrival_ns,
            end_ns=end_ns,
            ended=ended,
            token_ns=tuple(answer.token_ns),
            tokens=answer.tokens,
            start_ns=start_ns,
            answer_ns=answer.answer_ns,
            prompt_tokens=answer.prompt_tokens,
            counted=counted,
        )
        return Told(request, exchange.seen)

    def _shown(self, text: str) -> str:
        return text if self._asked.key is None else self._asked.key.hidden_in(text)

    async def _exchanged(self, exchange: _Exchange, data: bytes) -> None:
        connection = self._kept()
        kept = connection is not None
        while True:
            if connection is None:
                connection = await Connection.open(self._asked.address, self._places, self._secure)
            try:
                await exchange.run(connection, data)
            except RequestError as error:
                connection.abandon()
                # The server may close what it kept just as the request is under way: nobody read it.
                if kept and error.kind == RESET and not connection.received:
                    connection, kept, exchange.seen.reconnected = None, False, True
                    continue
                raise
            except BaseException:
                connection.abandon()
                raise
            if connection.usable:
                self._idle.append(connection)
            return

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None


class _Exchange:
    """One request and its response on a connection."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.answer, self.seen = Answer(), Seen()
        self._cutter = EventCutter()
        self._error_body = b""
        self._last_read_s = 0.0

    async def run(self, connection: Connection, data: bytes) -> None:
        """Send and read to the end.

        Raises:
            RequestError: there is no whole answer.
        """
        connection.on_read = lambda read: self._take(connection, read)
        loop = asyncio.get_running_loop()
        self._last_read_s = loop.time()
        watch = loop.call_later(self._asked.pause_s, self._look, connection, loop)
        self._watch = watch
        try:
            try:
                await connection.send(data)
            except OSError as error:
                raise RequestError(RESET, error.strerror or str(error)) from None
            await connection.response()
        finally:
            self._watch.cancel()
            self.seen.status = connection.status
        if connection.status != 200:
            raise self._refused(connection)
        self._check_kind(connection)
        self.answer.check_end(inside=self._cutter.inside)

    def _look(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """End a stream that says nothing any more."""
        left_s = self._last_read_s + self._asked.pause_s - loop.time()
        if left_s <= 0:
            pieces = len(self.answer.token_ns)
            words = f"nothing came for {self._asked.pause_s:g} s after {pieces} pieces"
            connection.refuse(RequestError(STALLED, words))
        else:
            self._watch = loop.call_later(left_s, self._look, connection, loop)

    def _take(self, connection: Connection, read: Read) -> None:
        self._last_read_s = asyncio.get_running_loop().time()
        if connection.status != 200:
            self._error_body = (self._error_body + read.data)[:_ERROR_BYTES]
            return
        self.seen.reads += 1
        if read.late_ns is None:
            self.seen.lateness_unknown = True
        else:
            self.seen.late_ns.append(read.late_ns)
        try:
            before = len(self.answer.token_ns)
            events = self._cutter.feed(read.data)
            self.seen.shared_reads += len(events) > 1
            for event in events:
                self.answer.take(event, read.at_ns)
            self.seen.shared_pieces += max(0, len(self.answer.token_ns) - before - 1)
        except RequestError as error:
            connection.refuse(error)

    def _check_kind(self, connection: Connection) -> None:
        kind = connection.headers.get("content-type", "")
        if not kind.lower().startswith("text/event-stream"):
            raise RequestError(
                MALFORMED, f"the answer is {one_line(kind) or 'of no kind'}, not an event stream"
            )

    def _refused(self, connection: Connection) -> RequestError:
        text = self._error_body.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, RecursionError):
            text = error_text(json.loads(text))
        told = f"HTTP {connection.status}: {text}" if text else f"HTTP {connection.status}"
        wait_s = retry_after_s(connection.headers.get("retry-after"), connection.headers.get("date"))
        return RequestError(f"http_{connection.status}", told, wait_s)
