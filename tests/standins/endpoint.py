"""An OpenAI-compatible server whose every delay and fault is scripted: the truth that our client is held to.

The request's model chooses the script. `python endpoint.py` serves `SCRIPTS` and prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Fault = Literal["", "stall", "truncate", "malformed", "abort", "error_event", "huge", "not_sse"]


@dataclass(frozen=True, slots=True)
class Script:
    """One behaviour. Times are in seconds since the request was read."""

    role_s: float | None = 0.020
    """When the role delta comes, empty; None sends none. Completions have none."""
    role_content: str | None = ""
    """Its content; None leaves the key out."""
    first_s: float = 0.100
    gap_s: float = 0.010
    per_chunk: int = 1
    """Tokens a chunk."""
    reasoning: int = 0
    """Tokens of reasoning before the answer's."""
    reasoning_key: str = "reasoning_content"
    usage: Literal["asked", "last choice", "never"] = "asked"
    comments: bool = False
    """A comment line before every chunk."""
    done: bool = True
    """`[DONE]` at the end."""
    per_write: int = 1
    """Events a write, which the client reads at once."""
    status: int = 200
    retry_after: str | None = None
    fault: Fault = ""
    fault_after: int = 3
    """Chunks before the fault."""
    close: bool = False
    """The connection ends with every answer."""


SCRIPTS: Mapping[str, Script] = {
    "plain": Script(),
    "three": Script(per_chunk=3),
    "comments": Script(comments=True),
    "reasoning": Script(reasoning=4),
    "fast": Script(role_s=0.001, first_s=0.002, gap_s=0.0005),
    "together": Script(per_write=4),
    "transformers": Script(role_content=None, usage="last choice", done=False),
    "no-usage": Script(usage="never"),
    "closing": Script(close=True),
    "error-500": Script(status=500),
    "busy-429": Script(status=429, retry_after="7"),
    "busy-503": Script(status=503, retry_after="2"),
    "stall": Script(fault="stall"),
    "truncate": Script(fault="truncate"),
    "malformed": Script(fault="malformed"),
    "abort": Script(fault="abort"),
    "error-event": Script(fault="error_event"),
    "huge": Script(fault="huge"),
    "not-sse": Script(fault="not_sse"),
}
WORD = " the"


def chunks(script: Script, tokens: int, *, chat: bool) -> list[tuple[float, dict[str, Any]]]:
    """Return the events of an answer of `tokens` tokens: when, and the JSON object."""
    base = {
        "id": "c1",
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": 1,
        "model": "scripted",
    }
    found: list[tuple[float, dict[str, Any]]] = []
    if chat and script.role_s is not None:
        delta = {"role": "assistant"} | (
            {} if script.role_content is None else {"content": script.role_content}
        )
        found.append(
            (script.role_s, {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        )
    sent = number = 0
    while sent < tokens:
        reasons = chat and sent < script.reasoning
        some = min(script.per_chunk, (script.reasoning if reasons else tokens) - sent, tokens - sent)
        sent += some
        text = WORD * some
        said = {"delta": {script.reasoning_key if reasons else "content": text}} if chat else {"text": text}
        choice = {"index": 0, "finish_reason": "length" if sent == tokens else None, **said}
        found.append((script.first_s + number * script.gap_s, {**base, "choices": [choice]}))
        number += 1
    return found


def usage_of(tokens: int) -> dict[str, int]:
    """Return what the server counts."""
    return {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens + 10}


def stream(
    script: Script, tokens: int, *, chat: bool, include_usage: bool = True
) -> list[tuple[float, bytes]]:
    """Return the writes of an answer: when, and the bytes of the event stream, without HTTP's chunks."""
    events = chunks(script, tokens, chat=chat)
    if script.usage == "last choice":
        events[-1][1]["usage"] = usage_of(tokens)
    last_s = events[-1][0]
    if script.usage == "asked" and include_usage:
        events.append((last_s, {**events[-1][1], "choices": [], "usage": usage_of(tokens)}))
    comment = b": ping\n\n" if script.comments else b""
    lines = [(at, comment + b"data: " + json.dumps(event).encode() + b"\n\n") for at, event in events]
    if script.done:
        lines.append((last_s, b"data: [DONE]\n\n"))
    writes: list[tuple[float, bytes]] = []
    for start in range(0, len(lines), script.per_write):
        part = lines[start : start + script.per_write]
        writes.append((part[-1][0], b"".join(data for _, data in part)))
    return writes


@dataclass
class Seen:
    """What the server saw."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    """Bodies, with the path and the header `authorization`."""
    late_s: list[float] = field(default_factory=list)
    """Of every write, after its time."""
    written_ns: dict[str, list[int]] = field(default_factory=dict)
    """When each write of an answer was begun, on CLOCK_MONOTONIC, by the text that was asked."""


class ScriptedServer(asyncio.Protocol):
    """One connection."""

    def __init__(self, scripts: Mapping[str, Script], seen: Seen) -> None:
        self._scripts, self._seen = scripts, seen
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        made = transport.get_extra_info("socket")
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer a request as soon as it is whole."""
        began = self._loop.time()
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        body = json.loads(rest[:length]) if length else {}
        path = lines[0].split()[1]
        self._seen.requests.append({**body, "path": path, "authorization": headers.get("authorization")})
        self._answer(path, body, began)

    def _answer(self, path: str, body: dict[str, Any], began: float) -> None:
        if path.endswith("/health"):
            return self._plain(200, {})
        if path.endswith("/models"):
            listed = [{"id": name, "object": "model", "owned_by": "script"} for name in self._scripts]
            return self._plain(200, {"object": "list", "data": listed})
        script = self._scripts.get(body.get("model", ""))
        if script is None:
            return self._plain(
                404, {"error": {"message": f"The model `{body.get('model')}` does not exist."}}
            )
        if script.status != 200:
            return self._plain(script.status, {"error": {"message": "scripted"}}, script.retry_after)
        chat = "chat" in path
        tokens = body.get("max_completion_tokens") or body.get("max_tokens") or 16
        if script.fault == "not_sse" or not body.get("stream"):
            return self._plain(200, {"choices": [], "usage": usage_of(tokens)})
        asked = bool((body.get("stream_options") or {}).get("include_usage"))
        writes = stream(script, tokens, chat=chat, include_usage=asked)
        closing = "close" if script.close else "keep-alive"
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: {closing}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        ).encode()
        queue = [(began + at, _chunk(data)) for at, data in writes]
        at, data = queue[0]
        queue[0] = (at, head + data)
        if script.fault:
            queue = queue[: script.fault_after]
        else:
            queue[-1] = (queue[-1][0], queue[-1][1] + b"0\r\n\r\n")
        asked_text = str(body["messages"][0]["content"] if chat else body.get("prompt"))
        self._written_ns = self._seen.written_ns.setdefault(asked_text, [])
        self._send(iter(queue), script)
        return None

    def _send(self, queue: Iterator[tuple[float, bytes]], script: Script) -> None:
        entry = next(queue, None)
        if entry is None:
            self._end(script)
            return
        self._timer = self._loop.call_at(entry[0], self._write, entry, queue, script)

    def _write(
        self, entry: tuple[float, bytes], queue: Iterator[tuple[float, bytes]], script: Script
    ) -> None:
        now_ns = time.monotonic_ns()
        self._written_ns.append(now_ns)
        self._seen.late_s.append(now_ns / 1e9 - entry[0])
        self._transport.write(entry[1])
        self._send(queue, script)

    def _end(self, script: Script) -> None:
        match script.fault:
            case "truncate":
                self._transport.close()
            case "malformed":
                self._transport.write(_chunk(b'data: {"choices": [{"delta"\n\n') + b"0\r\n\r\n")
            case "error_event":
                error = {"error": {"message": "the engine died", "code": 500}}
                self._transport.write(_chunk(b"data: " + json.dumps(error).encode() + b"\n\n") + b"0\r\n\r\n")
            case "huge":
                self._transport.write(_chunk(b"data: " + b"x" * 3_000_000))
            case "abort":
                made = self._transport.get_extra_info("socket")
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._transport.abort()
            case "":
                if script.close:
                    self._transport.close()
            case _:
                pass  # stalls: nothing more comes

    def _plain(self, status: int, answer: object, retry_after: str | None = None) -> None:
        data = json.dumps(answer).encode()
        retry = f"Retry-After: {retry_after}\r\n" if retry_after else ""
        self._transport.write(
            f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n{retry}"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@contextlib.contextmanager
def serving(scripts: Mapping[str, Script] = SCRIPTS) -> Iterator[tuple[str, Seen]]:
    """Serve on a thread of its own; yield the address and what the server sees."""
    seen, loop = Seen(), asyncio.new_event_loop()
    server = loop.run_until_complete(_listen(loop, scripts, seen))
    thread = threading.Thread(target=loop.run_forever, name="scripted-endpoint")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", seen
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _listen(
    loop: asyncio.AbstractEventLoop, scripts: Mapping[str, Script], seen: Seen
) -> asyncio.Server:
    return await loop.create_server(lambda: ScriptedServer(scripts, seen), "127.0.0.1", 0, backlog=1024)


async def _main() -> None:
    seen = Seen()
    server = await _listen(asyncio.get_running_loop(), SCRIPTS, seen)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)  # until the other end closes
    late = sorted(seen.late_s)
    told = {"writes": len(late), "late_p99_s": late[int(0.99 * len(late))] if late else None}
    print(json.dumps({**told, "written_ns": seen.written_ns}))


if __name__ == "__main__":
    asyncio.run(_main())
