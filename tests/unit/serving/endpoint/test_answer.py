"""What counts as a token, by scripted streams whose stamps are known."""

import json

import pytest
from standins.endpoint import SCRIPTS, Script, stream

from harness.serving.endpoint.answer import Answer
from harness.serving.endpoint.failures import ERROR_EVENT, MALFORMED, NO_TOKEN, TRUNCATED, RequestError
from harness.serving.endpoint.sse import EventCutter
from harness.serving.requests import ANSWERED, ServedRequest

MS = 1_000_000


def read(script: Script, tokens: int = 16, *, chat: bool = True) -> Answer:
    """Let every write of a script be read at its own time."""
    answer, cutter = Answer(), EventCutter()
    for at_s, data in stream(script, tokens, chat=chat):
        for event in cutter.feed(data):
            answer.take(event, round(at_s * 1e9))
    answer.check_end(inside=cutter.inside)
    return answer


def request_of(answer: Answer) -> ServedRequest:
    """Return the request as its user saw it, asked at 0."""
    return ServedRequest(
        0, 0, answer.token_ns[-1], ANSWERED, tuple(answer.token_ns), answer.tokens, 0, answer.answer_ns
    )


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("name", ["plain", "comments", "transformers", "closing"])
def test_one_token_a_chunk(name, chat):
    """First token at 100 ms, then every 10 ms: no role delta, comment, usage or `[DONE]` is a token."""
    answer = read(SCRIPTS[name], chat=chat)
    request = request_of(answer)
    assert request.ttft_ns == 100 * MS
    assert request.tpot_ns == 10 * MS
    assert set(request.gaps_ns) == {10 * MS}
    assert request.e2e_ns == 250 * MS
    assert (answer.tokens, answer.prompt_tokens) == (16, 10)
    assert answer.empty_first is chat
    assert answer.done is (name != "transformers")
    assert request.ttfa_ns == request.ttft_ns
    assert not answer.reasoned


def test_the_model_is_what_the_server_says_first():
    """In one printable line; what is no text says nothing."""
    answer = Answer()
    for event in ({"model": 7}, {"model": "a\n\x1b[0m"}, {"model": "other"}):
        answer.take(json.dumps(event).encode(), 0)
    assert answer.model == "a ?[0m"


def test_three_tokens_a_chunk():
    """48 tokens in 16 chunks: tpot divides by the tokens that the server counts, gaps are of chunks."""
    request = request_of(read(SCRIPTS["three"], 48))
    assert request.tpot_ns == 150 * MS / 47
    assert set(request.gaps_ns) == {10 * MS}


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_reasoning_is_a_first_token_and_no_answer(key):
    """Four tokens of reasoning: the first token at 100 ms, the first of the answer at 140 ms."""
    request = request_of(read(Script(reasoning=4, reasoning_key=key)))
    assert request.ttft_ns == 100 * MS
    assert request.ttfa_ns == 140 * MS
    assert request.tpot_ns == 10 * MS


def test_events_of_one_write_share_a_stamp():
    """What came together was seen together: the gap is 0, and tpot is as good as first and last."""
    request = request_of(read(SCRIPTS["together"]))
    assert 0 in request.gaps_ns


def test_without_usage_tokens_are_unknown():
    """They are never guessed from chunks."""
    request = request_of(read(SCRIPTS["no-usage"]))
    assert request.tokens is None
    assert request.tpot_ns is None
    assert request.ttft_ns == 100 * MS


@pytest.mark.parametrize("told", [True, -1, 0, 1.5, "7", 1 << 40, None, [3]])
def test_a_usage_that_is_no_count_tells_nothing(told):
    """A server may say anything; one that counts nothing says 0."""
    answer = Answer()
    answer.take(json.dumps({"choices": [], "usage": {"completion_tokens": told}}).encode(), 1)
    assert answer.tokens is None


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{", MALFORMED),
        (b"[1]", MALFORMED),
        (b"[" * 100_000, MALFORMED),
        (b"\xff", MALFORMED),
        (b'{"error": {"message": "out of memory"}}', ERROR_EVENT),
        (b'{"error": "x"}', ERROR_EVENT),
    ],
)
def test_an_event_that_fails_the_request(data, kind):
    """Each by its kind, with what was said in one bounded line."""
    with pytest.raises(RequestError) as failed:
        Answer().take(data, 0)
    assert failed.value.kind == kind
    assert len(str(failed.value)) <= 200


@pytest.mark.parametrize(
    "event",
    [{}, {"choices": None}, {"choices": [None, 3]}, {"choices": [{"delta": None, "text": None}]}],
)
def test_an_event_that_says_nothing_is_passed_over(event):
    """Servers send keep-alives of their own."""
    answer = Answer()
    answer.take(json.dumps(event).encode(), 0)
    assert not answer.token_ns


def test_an_end_needs_a_finish_and_a_token():
    """A stream that just stops was truncated; one that finishes empty has no token."""
    answer = Answer()
    answer.take(b'{"choices": [{"delta": {"content": "a"}}]}', 1)
    with pytest.raises(RequestError) as cut:
        answer.check_end(inside=True)
    assert cut.value.kind == TRUNCATED
    empty = Answer()
    empty.take(b"[DONE]", 1)
    with pytest.raises(RequestError) as nothing:
        empty.check_end(inside=False)
    assert nothing.value.kind == NO_TOKEN
