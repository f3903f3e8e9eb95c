"""What a span served, counted."""

from harness.serving.metrics import Limits
from harness.serving.requests import ServedRequest
from harness.serving.served import Served, Work

WORK = Work(read=lambda tokens: 1000.0 * tokens, step=float)


def test_a_prompt_counts_where_its_first_token_came():
    """Three tokens behind a prompt of ten, the first of them before the span and the third behind it."""
    request = ServedRequest(0, 0, 40, "answered", (10, 20, 40), 3, prompt_tokens=10)
    other = ServedRequest(1, 12, 30, "answered", (25, 30), 2, prompt_tokens=5)
    units = Served((request, other), (15, 35), Limits(), open_loop=False).units(WORK)
    assert (units.samples, units.tokens, units.requests) == (0, 3, 1)
    assert units.flops == 10 + 5000 + 5, "the second token of one; the prompt and second token of the other"
    assert units.least_bytes == 0


def test_a_prompt_of_unknown_length_counts_no_work():
    """As that of an endpoint."""
    request = ServedRequest(0, 0, 20, "answered", (10, 20), 2)
    assert Served((request,), (0, 30), Limits(), open_loop=False).units(WORK).flops == 0
