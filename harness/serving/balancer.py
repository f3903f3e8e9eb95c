"""Which of several equal servers gets the next request.

Nothing here looks whether a server is well: one that fails at once has the fewest requests under way, and
draws them all. That is what such a balancer does, and the failures are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.config.serving import BalancePolicy


class Balancer:
    """Chooses a server for each request.

    Args:
        policy: `round_robin` takes them in turn; `least_outstanding` the one with the fewest requests under
            way, of equals the one that got the fewest so far.
        servers: How many there are.
    """

    def __init__(self, policy: BalancePolicy, servers: int) -> None:
        self._policy = policy
        self.outstanding = [0] * servers
        """Requests under way, of each server."""
        self.sent = [0] * servers
        """Requests so far, of each server."""

    @contextmanager
    def chosen(self) -> Iterator[int]:
        """Yield the place of the server that gets the next request; it is under way until the end."""
        place = self.take()
        try:
            yield place
        finally:
            self.give_back(place)

    def take(self) -> int:
        """Return the place of the server that gets the next request, which is under way from now on."""
        place = self._next()
        self.sent[place] += 1
        self.outstanding[place] += 1
        return place

    def give_back(self, place: int) -> None:
        """Hear that a request of this server has ended."""
        self.outstanding[place] -= 1

    def _next(self) -> int:
        if self._policy == "round_robin":
            return sum(self.sent) % len(self.sent)
        return min(range(len(self.sent)), key=lambda place: (self.outstanding[place], self.sent[place]))
