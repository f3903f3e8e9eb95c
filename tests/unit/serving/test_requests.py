"""A request's own latencies, and its log as columns and back."""

import numpy as np
import pytest

from harness.serving.requests import ServedRequest, from_series, to_series

MS = 1_000_000
ANSWER = ServedRequest(
    number=7, arrival_ns=5 * MS, start_ns=8 * MS, token_ns=(105 * MS, 115 * MS, 135 * MS), tokens=5,
    answer_ns=115 * MS, end_ns=140 * MS, ended="answered", prompt_tokens=3,
)  # fmt: skip
LOST = ServedRequest(number=8, arrival_ns=0, end_ns=9 * MS, ended="http 503", counted=False)


def test_latencies_follow_their_definitions():
    """Three pieces of five tokens: tpot goes by the tokens, gaps by the pieces."""
    assert (ANSWER.ttft_ns, ANSWER.ttfa_ns, ANSWER.queue_ns) == (100 * MS, 110 * MS, 3 * MS)
    assert ANSWER.tpot_ns == 30 * MS / 4
    assert ANSWER.gaps_ns == (10 * MS, 20 * MS)
    assert ANSWER.e2e_ns == 135 * MS


def test_what_nobody_told_has_no_value():
    """No token, no first token; no usage or one token, no time per output token."""
    assert (LOST.ttft_ns, LOST.ttfa_ns, LOST.tpot_ns, LOST.queue_ns) == (None,) * 4
    assert LOST.gaps_ns == ()
    assert not LOST.answered
    assert ServedRequest(1, 0, 9, "answered", (1, 2)).tpot_ns is None
    assert ServedRequest(1, 0, 9, "answered", (1,), tokens=1).tpot_ns is None


def test_a_log_comes_back_from_its_columns():
    """None is kept apart from zero."""
    series, words = to_series([ANSWER, LOST])
    assert words == ["answered", "http 503"]
    assert from_series(series, words) == (ANSWER, LOST)
    assert from_series({}, []) == ()


@pytest.mark.parametrize(
    ("name", "values"), [("pieces", [3, -1]), ("pieces", [2, 0]), ("ended", [0, 2]), ("tokens", [5])]
)
def test_columns_that_do_not_belong_together_are_no_log(name, values):
    """An audit reads files that anyone may have written."""
    series, words = to_series([ANSWER, LOST])
    with pytest.raises(ValueError, match="columns"):
        from_series(series | {f"request.{name}": np.array(values)}, words)
