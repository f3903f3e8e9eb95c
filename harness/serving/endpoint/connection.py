"""One connection by HTTP/1.1, which stamps every read as it happens.

A read is a `recvmsg` of our own on a socket that the event loop watches, so that nothing lies between it and
its stamp. The kernel tells when the newest bytes of a read had arrived: how late the read was is measured,
not guessed. httptools cuts HTTP; no redirect is followed and no proxy asked.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.serving.endpoint.address import Address
from harness.serving.endpoint.failures import (
    CLIENT_LIMIT,
    MALFORMED,
    REFUSED,
    RESET,
    TOO_LARGE,
    TRUNCATED,
    RequestError,
)

READ_BYTES = 256 * 1024
HEAD_LIMIT_BYTES = 64 * 1024
ANSWER_LIMIT_BYTES = 64 * 2**20
_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_TIMESPEC = struct.Struct("@qq")


Place = tuple[int, Any]
"""A family of sockets and an address in it."""


async def resolve(address: Address) -> list[Place]:
    """Look the host up, once for all requests: what a name server takes is no time of the endpoint.

    Raises:
        RequestError: no such host.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise RequestError(REFUSED, f"{address.host}: {error.strerror or error}") from None
    return [(family, place) for family, _, _, _, place in found]


@dataclass(frozen=True, slots=True)
class Read:
    """What one read brought of an answer's body."""

    data: bytes
    at_ns: int
    """On the monotonic clock, as soon as the read returned."""
    late_ns: int | None
    """How long the newest of it had lain in the kernel; None where the kernel does not say."""


class Connection:
    """A socket and the response that comes on it; one request at a time.

    Attributes:
        status: Of the response, 0 before it came.
        headers: Of the response, in small letters.
        on_read: Called with each read that brings a part of the body.
        received: Bytes of the current response.
    """

    def __init__(self, made: socket.socket, address: Address, loop: asyncio.AbstractEventLoop) -> None:
        self._socket, self._address, self._loop = made, address, loop
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.on_read: Callable[[Read], None] = lambda _read: None
        self.usable = True
        self._waiter: asyncio.Future[None] | None = None
        self._body: list[bytes] = []
        self._begin_response()

    @classmethod
    async def open(
        cls, address: Address, places: Sequence[Place], secure: ssl.SSLContext | None
    ) -> Connection:
        """Connect to the first of the server's places that answers.

        Raises:
            RequestError: nobody is there, or TLS does not come about.
        """
        loop = asyncio.get_running_loop()
        problem = "no address"
        for family, place in places:
            try:
                made = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:  # no more files may be open here: no fault of the server
                raise RequestError(CLIENT_LIMIT, error.strerror or str(error)) from None
            made.setblocking(False)
            try:
                await loop.sock_connect(made, place)
            except OSError as error:
                made.close()
                problem = os.strerror(error.errno) if error.errno else str(error)
                continue
            except BaseException:
                made.close()
                raise
            return await cls._ready(made, address, loop, secure)
        raise RequestError(REFUSED, f"{address.name}: {problem}")

    @classmethod
    async def _ready(
        cls,
        made: socket.socket,
        address: Address,
        loop: asyncio.AbstractEventLoop,
        secure: ssl.SSLContext | None,
    ) -> Connection:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError as error:
            if error.errno not in (errno.ENOPROTOOPT, errno.EINVAL, errno.EPERM):
                raise
        connection = cls(made, address, loop)
        if secure is not None:
            try:
                await connection._shake_hands(secure)
            except (OSError, ssl.SSLError) as error:
                connection.close()
                raise RequestError(REFUSED, f"{address.name}: TLS: {error}") from None
            except BaseException:
                connection.close()
                raise
        loop.add_reader(made.fileno(), connection._readable)
        return connection

    async def _shake_hands(self, secure: ssl.SSLContext) -> None:
        tls = secure.wrap_bio(self._incoming, self._outgoing, server_hostname=self._address.host)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._loop.sock_recv(self._socket, READ_BYTES)
                if not data:
                    raise ConnectionResetError("the server ended the connection") from None
                self._incoming.write(data)
        await self._flush()
        self._tls = tls

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._loop.sock_sendall(self._socket, self._outgoing.read())

    async def send(self, data: bytes) -> None:
        """Send a whole request.

        Raises:
            OSError: the connection broke.
        """
        self._begin_response()
        self._waiter = self._loop.create_future()
        if self._tls is None:
            await self._loop.sock_sendall(self._socket, data)
        else:
            self._tls.write(data)
            await self._flush()

    async def response(self) -> None:
        """Wait until the response has ended.

        Raises:
            RequestError: it broke off, or is none.
        """
        assert self._waiter is not None
        await self._waiter

    def abandon(self) -> None:
        """Close, and wait for nothing any more."""
        self.close()
        if self._waiter is not None and not self._waiter.cancel() and not self._waiter.cancelled():
            self._waiter.exception()  # it was told elsewhere

    def refuse(self, error: RequestError) -> None:
        """End the response that comes with a failure: what it holds is wrong."""
        self.close()
        self._finish(error)

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        self.usable = False

    # --- what httptools calls -----------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Note the status."""
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body until the read is through."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Note the end; a response of 100 to 199 only comes before the one that was asked for."""
        if self.status // 100 == 1:
            self.status = 0
            self.headers.clear()
        else:
            self._ended = True

    # --- reading --------------------------------------------------------------------------------------------

    def _begin_response(self) -> None:
        import httptools  # of the extra serve; every worker loads this file, and only this needs it

        self._parser = httptools.HttpResponseParser(self)
        self._malformed = (httptools.HttpParserError, httptools.HttpParserUpgrade)
        self.status, self.received = 0, 0
        self.headers: dict[str, str] = {}
        self._ended = False
        self._body.clear()

    def _readable(self) -> None:
        try:
            data, notes, _, _ = self._socket.recvmsg(READ_BYTES, 128)
            at_ns = time.perf_counter_ns()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close()
            self._finish(RequestError(RESET, error.strerror or str(error)))
            return
        if not data:
            self._at_end_of_file()
            return
        late_ns = _late_ns(notes)
        if self._tls is not None:
            self._incoming.write(data)
            data = self._decrypted()
        if data:
            self._take(data, at_ns, late_ns)

    def _decrypted(self) -> bytes:
        assert self._tls is not None
        parts = []
        try:
            while part := self._tls.read(READ_BYTES):
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.close()
            self._finish(RequestError(RESET, f"TLS: {error}"))
        return b"".join(parts)

    def _take(self, data: bytes, at_ns: int, late_ns: int | None) -> None:
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except self._malformed as error:
            self.refuse(RequestError(MALFORMED, f"no HTTP/1.1: {error}"))
            return
        if self.received > (ANSWER_LIMIT_BYTES if self.status else HEAD_LIMIT_BYTES):
            self.refuse(RequestError(TOO_LARGE, f"more than {self.received} bytes"))
            return
        if self._body:
            body = b"".join(self._body)
            self._body.clear()
            self.on_read(Read(body, at_ns, late_ns))
        if self._ended:
            if not self._parser.should_keep_alive():
                self.close()
            self._finish(None)

    def _at_end_of_file(self) -> None:
        length_told = {"content-length", "transfer-encoding"} & self.headers.keys()
        self.close()
        if self.status and not length_told:
            self._finish(None)
        elif self.status:
            self._finish(RequestError(TRUNCATED, "the connection ended within the answer"))
        else:
            self._finish(RequestError(RESET, "the connection ended before the answer"))

    def _finish(self, error: RequestError | None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


def _late_ns(notes: list[tuple[int, int, bytes]]) -> int | None:
    """Return how long ago the kernel got the newest bytes of a read, by the clock that it stamps with."""
    for level, kind, value in notes:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(value) == _TIMESPEC.size:
            seconds, rest = map(int, _TIMESPEC.unpack(value))
            return max(0, time.time_ns() - seconds * 10**9 - rest)
    return None
