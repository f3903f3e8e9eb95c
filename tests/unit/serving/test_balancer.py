"""Which server gets the next request, in a script of requests that end."""

from contextlib import ExitStack

import pytest

from harness.serving.balancer import Balancer


def test_in_turn():
    """Whatever is under way."""
    balancer = Balancer("round_robin", 3)
    with ExitStack() as stack:
        assert [stack.enter_context(balancer.chosen()) for _ in range(5)] == [0, 1, 2, 0, 1]
        assert balancer.outstanding == [2, 2, 1]
    assert balancer.outstanding == [0, 0, 0]
    assert balancer.sent == [2, 2, 1]


def test_the_fewest_under_way():
    """Of equals the one that got the fewest; one whose answers end is chosen again."""
    balancer = Balancer("least_outstanding", 2)
    with balancer.chosen() as slow:
        fast = []
        for _ in range(3):
            with balancer.chosen() as place:
                fast.append(place)
    assert (slow, fast) == (0, [1, 1, 1])
    with balancer.chosen() as place:
        assert place == slow


def test_a_request_that_fails_is_over():
    """And no longer under way."""
    balancer = Balancer("least_outstanding", 1)
    with pytest.raises(OSError, match="gone"), balancer.chosen():
        raise OSError("gone")
    assert balancer.outstanding == [0]
