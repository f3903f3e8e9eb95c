"""The client against a scripted server: every fault by its kind. Nothing here depends on how long it took."""

import asyncio
import time

import pytest
from standins.endpoint import SCRIPTS, serving

from harness.serving.endpoint.address import parse_url, read_key
from harness.serving.endpoint.client import Asked, Client
from harness.serving.endpoint.failures import retry_after_s

TOKENS = 6
QUICK = {"role_s": 0.001, "first_s": 0.002, "gap_s": 0.0}


@pytest.fixture(scope="module")
def server():
    """Serve the scripts without their delays."""
    from dataclasses import replace

    with serving({name: replace(script, **QUICK) for name, script in SCRIPTS.items()}) as found:
        yield found


def ask(url, model, times=1, **options):
    """Ask one after another over one client."""

    async def asked():
        client = await Client.open(Asked(parse_url(url), model, **options))
        try:
            return [
                await client.ask(i, "hello", TOKENS, arrival_ns=time.perf_counter_ns()) for i in range(times)
            ]
        finally:
            client.close()

    return asyncio.run(asked())


@pytest.mark.parametrize("api", ["chat", "completions"])
@pytest.mark.parametrize(
    ("model", "pieces"),
    [("plain", 6), ("three", 2), ("comments", 6), ("reasoning", 6), ("together", 6), ("transformers", 6),
     ("no-usage", 6), ("closing", 6)],
)  # fmt: skip
def test_an_answer(server, model, pieces, api):
    """Twice on one client, whether the connection is kept or not."""
    for told in ask(server[0], model, 2, api=api):
        assert told.request.ended == "answered"
        assert len(told.request.token_ns) == pieces
        assert told.request.tokens == (None if model == "no-usage" else TOKENS)
        assert sorted(told.request.token_ns) == list(told.request.token_ns)
        assert told.request.arrival_ns <= told.request.start_ns <= told.request.token_ns[0]
        assert told.request.end_ns == told.request.token_ns[-1]
        assert told.seen.reasoned == (model == "reasoning" and api == "chat")
        assert told.seen.reads >= 1
        assert not told.seen.problem


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("error-500", "http_500", "scripted"),
        ("busy-429", "http_429", "scripted"),
        ("busy-503", "http_503", "scripted"),
        ("nobody", "http_404", "The model `nobody` does not exist"),
        ("stall", "stalled", "nothing came for 0.05 s after 2 pieces"),
        ("truncate", "truncated", "ended within the answer"),
        ("malformed", "malformed", "no JSON"),
        ("abort", "reset", "reset"),
        ("error-event", "error_event", "the engine died"),
        ("huge", "too_large", "an event of more than"),
        ("not-sse", "malformed", "application/json"),
    ],
)
def test_a_failure(server, model, kind, said):
    """Its kind, what was said, when to ask again; and the client goes on."""
    for told in ask(server[0], model, 2, pause_s=0.05):
        assert told.request.ended == kind
        assert said in told.seen.problem
        assert not told.request.answered
        assert told.seen.retry_after_s == {"busy-429": 7.0, "busy-503": 2.0}.get(model)


def test_nobody_is_there():
    """A port that nothing listens on."""
    (told,) = ask("http://127.0.0.1:1/v1", "plain")
    assert told.request.ended == "refused"
    assert "127.0.0.1:1: Connection refused" in told.seen.problem


def test_a_request_has_a_limit(server):
    """A stalled stream is given up at the request's own limit where that is shorter."""
    (told,) = ask(server[0], "stall", timeout_s=0.05)
    assert told.request.ended == "timeout"


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, b""])
def test_what_is_no_server_of_http(answer):
    """Bytes of another protocol, a head without end, and an end at once."""

    async def asked():
        async def speak(_reader, writer):
            writer.write(answer)
            await writer.drain()
            writer.close()

        other = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        client = await Client.open(Asked(parse_url(f"http://127.0.0.1:{port}"), "m"))
        told = await client.ask(0, "hi", 1, arrival_ns=0)
        client.close()
        other.close()
        return told

    assert asyncio.run(asked()).request.ended in {"malformed", "too_large", "reset"}


def raw(answer, **options):
    """Ask a server that says these bytes to anybody and ends."""

    async def asked():
        async def speak(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        other = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        client = await Client.open(Asked(parse_url(f"http://127.0.0.1:{port}"), "m", **options))
        told = await client.ask(0, "hi", 4, arrival_ns=0)
        client.close()
        other.close()
        return told

    return asyncio.run(asked())


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
PIECE = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\r\n\r\n'
LAST = b'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"length"}],"usage":%s}\n\n'


def chunked(*parts):
    """HTTP's chunks, with an extension and a trailer that nobody needs."""
    body = b"".join(b"%x;x=y\r\n%s\r\n" % (len(part), part) for part in parts)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 64, 4096])
@pytest.mark.parametrize(
    "early", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nA: x\r\n\r\n"]
)
def test_chunks_end_anywhere_and_other_responses_may_come_before(size, early):
    """Within a word, a line end, an event: the answer is the same."""
    body = PIECE + LAST % b'{"completion_tokens":2}'
    told = raw(early + chunked(*(body[i : i + size] for i in range(0, len(body), size))))
    assert (told.request.ended, told.seen.problem) == ("answered", "")
    assert (len(told.request.token_ns), told.request.tokens) == (2, 2)


@pytest.mark.parametrize(
    ("usage", "tokens", "false"),
    [
        (b"null", None, False), (b"{}", None, False), (b"[]", None, False), (b'"7"', None, False),
        (b'{"completion_tokens":null}', None, False), (b'{"completion_tokens":"4"}', None, False),
        (b'{"completion_tokens":-5}', None, False), (b'{"completion_tokens":1e400}', None, False),
        (b'{"completion_tokens":true}', None, False), (b'{"completion_tokens":2}', 2, False),
        (b'{"completion_tokens":5}', 5, False), (b'{"completion_tokens":6}', None, True),
        (b'{"completion_tokens":1}', None, True), (b'{"completion_tokens":999999999}', None, True),
    ],
)  # fmt: skip
def test_a_count_of_tokens_that_cannot_be_is_none(usage, tokens, false):
    """Two pieces of four tokens at most: what is less than a token a piece, or more than was asked for."""
    told = raw(HEAD + b"\r\n" + PIECE + LAST % usage)
    assert told.request.ended == "answered"
    assert (told.request.tokens, told.seen.false_usage) == (tokens, false)


def test_a_further_field_may_ask_for_more():
    """Then that is the most; a text in it leaves it open."""
    answer = HEAD + b"\r\n" + PIECE + LAST % b'{"completion_tokens":90}'
    assert raw(answer, extra={"max_completion_tokens": 100}).request.tokens == 90
    assert raw(answer, extra={"max_tokens": "many"}).request.tokens == 90
    assert raw(answer, extra={"max_tokens": 9}).request.tokens is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"data: " + b"[" * 100_000 + b"\n\n", "malformed"),
        (b'data: {"a":' + b"9" * 5000 + b"}\n\n", "malformed"),
        (b"data: \xff\xfe\n\n", "malformed"),
        (b"data: null\n\n", "malformed"),
        (b'data: {"choices":null}\n\ndata: [DONE]\n\n', "no_token"),
        (b'data: {"choices":[null,1,{"delta":null},{"text":null}]}\n\ndata: [DONE]\n\n', "no_token"),
        (b'data: {"error":"\\ud800 gone"}\n\n', "error_event"),
        (b'data: {"error":{"message":{"a":[1]}}}\n\n', "error_event"),
        (PIECE, "truncated"),
        (b"", "truncated"),
    ],
)
def test_what_a_stream_may_hold_is_a_kind_of_failure(body, kind):
    """Never an exception; what was said is one line that can be printed."""
    told = raw(HEAD + b"\r\n" + body)
    assert told.request.ended == kind
    assert told.seen.problem.isprintable()
    told.seen.problem.encode()


def test_no_more_files_is_the_clients_limit(server, monkeypatch):
    """A failure like others, and no fault of the server."""

    def full(*_given):
        raise OSError(24, "Too many open files")

    async def asked():
        client = await Client.open(Asked(parse_url(server[0]), "plain"))
        monkeypatch.setattr("harness.serving.endpoint.connection.socket.socket", full)
        return await client.ask(0, "hi", 4, arrival_ns=0)

    loop = asyncio.new_event_loop()
    told = loop.run_until_complete(asked())
    monkeypatch.undo()
    loop.close()
    assert (told.request.ended, told.seen.problem) == ("client_limit", "Too many open files")


NOW = "Tue, 01 Dec 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("7", None, 7.0), ("0", None, 0.0), ("1.5", None, 1.5), (None, None, None), ("soon", NOW, None),
        ("-1", None, None), ("nan", None, None), ("inf", None, None), ("1e9", None, None),
        ("Tue, 01 Dec 2026 12:00:09 GMT", NOW, 9.0), ("Tue, 01 Dec 2026 11:00:00 GMT", NOW, 0.0),
        ("Wed, 02 Dec 2026 12:00:00 GMT", NOW, None), ("Fri, 31 Dec 99999 00:00:00 GMT", NOW, None),
        ("Fri, 02 Jan 1970 00:00:00 GMT", None, 0.0),
    ],
)  # fmt: skip
def test_when_to_ask_again_is_a_number_or_a_date(header, date, seconds):
    """A date counts from the server's own clock where it tells that, else from ours."""
    assert retry_after_s(header, date) == seconds


def test_what_is_asked(server, monkeypatch):
    """Usage is asked for, further fields are sent, the key is in its header and shown nowhere."""
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    options = {"key": read_key("SOME_KEY", None), "extra": {"ignore_eos": True}}
    (told,) = ask(server[0], "sk-secret", **options)
    seen = server[1].requests[-1]
    assert seen["authorization"] == "Bearer sk-secret"
    assert seen["stream_options"] == {"include_usage": True}
    assert (seen["max_tokens"], seen["ignore_eos"], seen["stream"]) == (TOKENS, True, True)
    assert "sk-secret" not in told.seen.problem
    assert "[key]" in told.seen.problem
