"""Several ranks in step: the others run what rank 0 ran, in its order, and end with it."""

from collections import deque

import pytest

from harness.serving.lengths import Length
from harness.serving.lockstep import Follower, Leader
from workloads.engine.continuous_batching import Token


class Scripted:
    """Answers what was asked first, a token a step; notes everything it was told."""

    def __init__(self, limit=9):
        self.limit, self.waiting, self.told, self.begun = limit, [], [], []

    @property
    def idle(self):
        """Whether nobody waits."""
        return not self.waiting

    def ask(self, number, length):
        """Take a request, or say why not."""
        if len(self.waiting) >= self.limit:
            return "full"
        self.told.append((number, length))
        self.waiting.append(number)
        return None

    def step(self):
        """Answer the first."""
        self.told.append("step")
        return [Token(self.waiting.pop(0), 7, last=True)]

    def rest(self):
        """Do nothing."""


def pair(limit=9):
    """A leader and a follower with a server each, and what is said between them."""
    said, servers = deque(), (Scripted(limit=2), Scripted(limit))
    return (
        Leader(servers[0], lambda turn: said.append(turn) or turn),
        Follower(servers[1], lambda _none: said.popleft()),
        servers,
    )


def test_every_rank_runs_the_same_steps():
    """Requests before the step in which they came, in their order; what was rejected stays unknown."""
    leader, follower, (own, other) = pair()
    for number in range(3):
        assert leader.ask(number, Length(4, 1)) == (None if number < 2 else "full")
    assert [token.request for token in leader.step()] == [0]
    leader.rest()
    leader.ask(5, Length(2, 1))
    leader.step()
    for _ in range(3):
        assert follower.step()
    assert own.told == other.told
    assert other.told == [(0, Length(4, 1)), (1, Length(4, 1)), "step", (5, Length(2, 1)), "step"]


def test_the_others_end_with_rank_0():
    """Having done all that was said before."""
    leader, follower, (own, other) = pair()
    leader.ask(0, Length(4, 1))
    leader.step()
    leader.end()
    follower.end()
    assert own.told == other.told
    assert leader.idle


def test_a_rank_that_cannot_follow_says_so():
    """Its engine is another one."""
    leader, follower, _ = pair(limit=0)
    leader.ask(0, Length(4, 1))
    leader.step()
    with pytest.raises(RuntimeError, match="taken by rank 0 and not here: full"):
        follower.step()
