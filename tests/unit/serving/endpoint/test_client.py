"""The client against a scripted server: every fault by its kind. Nothing here depends on how long it took."""

import asyncio
import time

import pytest
from standins.endpoint import SCRIPTS, serving

from harness.serving.endpoint.address import parse_url, read_key
from harness.serving.endpoint.client import Asked, Client

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
