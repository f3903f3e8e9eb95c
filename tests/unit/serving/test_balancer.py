"""Which server gets the next request, in a script of requests that end."""

import heapq
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


def ends_s(policy, servers, works_s):
    """Let a request come every second, each so much work for a server that does one after the other."""
    balancer, free_s, running, found = Balancer(policy, servers), [0.0] * servers, [], []
    for now_s, work_s in enumerate(works_s):
        while running and running[0][0] <= now_s:
            balancer.give_back(heapq.heappop(running)[1])
        place = balancer.take()
        free_s[place] = max(free_s[place], float(now_s)) + work_s
        heapq.heappush(running, (free_s[place], place))
        found.append(free_s[place])
    return found


def test_what_two_servers_buy_depends_on_the_policy():
    """Of long and short requests by turns, one server has 18 s of work.

    In turn, all long ones meet at one of two servers, which ends at 16 s: 1.125 times the rate of one. By the
    fewest under way the last ends at 12.5 s: 1.44 times.
    """
    works_s = [4.0, 0.5] * 4
    alone = ends_s("round_robin", 1, works_s)
    assert alone == ends_s("least_outstanding", 1, works_s) == [4.0, 4.5, 8.5, 9.0, 13.0, 13.5, 17.5, 18.0]
    turns, fewest = (ends_s(policy, 2, works_s) for policy in ("round_robin", "least_outstanding"))
    assert turns == [4.0, 1.5, 8.0, 3.5, 12.0, 5.5, 16.0, 7.5]
    assert fewest == [4.0, 1.5, 6.0, 4.5, 8.5, 6.5, 12.5, 7.5]
    assert max(alone) / max(turns) == 1.125
    assert max(alone) / max(fewest) == 1.44
