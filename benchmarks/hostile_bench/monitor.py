"""Requests to the monitor of a sweep that runs: it answers its own host, or hangs up, and lives on."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from harness.execution.monitor import ADDRESS, MonitoredProgress
from harness.execution.progress import PlainProgress
from harness.planning.plan import make_plan

_REQUESTS: dict[str, bytes] = {
    "nothing": b"",
    "noughts": bytes(100_000),
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET /metrics HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    "another host": b"GET /metrics HTTP/1.1\r\nHost: example.org:80\r\n\r\n",
    "no host": b"GET /metrics HTTP/1.0\r\n\r\n",
    "two hosts": b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: localhost:1\r\n\r\n",
    "a file": b"GET /../../../etc/passwd HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
    "an encoded file": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
    "another method": b"PUT /metrics HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
    "no method": b"\x00\x01\x02 / HTTP/1.1\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a proxy's": b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
    "a version": b"GET /metrics HTTP/9999999999.9\r\nHost: localhost:1\r\n\r\n",
    "a body": b"GET /metrics HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 99999999999\r\n\r\n",
    "chunks": b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
    "controls": b"GET /\x1b[2J HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
    "a split line": b"GET /metrics HTTP/1.1\r\nHost: localhost:1\r\nX: a\r\n b\r\n\r\n",
    "half": b"GET /metrics HTT",
}
GOOD = b"GET /metrics HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n"
_MUST_NOT = (b"root:", b"example.org:443\r\n")


def names() -> list[str]:
    """Return the names of the requests."""
    return list(_REQUESTS)


def run(name: str) -> Iterator[str]:
    """Send a request to a monitor; yield what went wrong."""
    plan = make_plan(["workload=noop", "device=cpu"])
    with Path("/dev/null").open("w") as out, MonitoredProgress(plan, PlainProgress(plan, out), 0) as shown:
        answer = _ask(shown.port, _REQUESTS[name])
        if any(words in answer for words in _MUST_NOT):
            yield f"answered {answer[:80]!r}"
        if name in {"another host", "no host"} and b" 200 " in answer.partition(b"\r\n")[0]:
            yield "answered another host"
        if b" 200 " not in _ask(shown.port, GOOD % shown.port).partition(b"\r\n")[0]:
            yield "did not live on"


def _ask(port: int, data: bytes) -> bytes:
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection((ADDRESS, port), timeout=2) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while part := client.recv(1 << 16):
            answer += part
    return answer
