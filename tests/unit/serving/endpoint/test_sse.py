"""Events are cut alike whatever the reads, and nothing grows without bound."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.serving.endpoint.failures import MALFORMED, TOO_LARGE, RequestError
from harness.serving.endpoint.sse import EVENT_LIMIT_BYTES, EventCutter

STREAM = (
    b": hello\r\n\r\ndata: a\r\ndata: b\r\n\r\nevent: x\nid: 7\ndata:c\n\n: ping\n\ndata: [DONE]\r\rdata: cut"
)
EVENTS = [b"a\nb", b"c", b"[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_gives_the_same_events_in_any_reads(cuts):
    """Reads end anywhere, within a line end of two bytes too."""
    edges = [0, *sorted(cuts), len(STREAM)]
    cutter = EventCutter()
    found = [event for a, b in itertools.pairwise(edges) for event in cutter.feed(STREAM[a:b])]
    assert found == EVENTS
    assert cutter.inside


@pytest.mark.parametrize("cut", range(5))
def test_a_byte_order_mark_begins_a_stream_and_is_no_text(cut):
    """Once, in any reads; later it is part of a line, which then names no field."""
    stream = b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n"
    cutter = EventCutter()
    assert [*cutter.feed(stream[:cut]), *cutter.feed(stream[cut:])] == [b"a"]


def test_what_is_no_text_or_never_ends_is_refused():
    """A zero byte, a line without end, an event of many lines."""
    with pytest.raises(RequestError) as zero:
        EventCutter().feed(b"da\0ta: x\n")
    assert zero.value.kind == MALFORMED
    for read in (b"data: " + b"x" * EVENT_LIMIT_BYTES, b"data: xxxxxxxx\n" * (EVENT_LIMIT_BYTES // 8 + 1)):
        with pytest.raises(RequestError) as large:
            EventCutter().feed(read)
        assert large.value.kind == TOO_LARGE
