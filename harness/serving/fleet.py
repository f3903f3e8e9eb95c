"""Several equal servers in this process behind a balancer, each working in a thread of its own.

Nobody waits for another's step: a step of the fleet starts one on every server that has work and runs none,
and ends with the first that is over. While the session is paused at most one step of each server runs on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Protocol

from harness.config.serving import BalancePolicy
from harness.serving.balancer import Balancer
from harness.serving.lengths import Length
from harness.serving.requests import ServedRequest
from harness.serving.session import Server

if TYPE_CHECKING:
    from workloads.engine.continuous_batching import Token

LONGEST_WAIT_S = 0.001
"""Of one step while a server is free: what arrives for it is late by this at most."""


class Planned(Server, Protocol):
    """A server whose step runs in another thread."""

    def plan(self) -> None:
        """Choose what the next step begins with; `ask` may be called while that step runs."""


class Fleet:
    """The servers as one.

    Args:
        policy: Which of them gets the next request.
        servers: Idle.
        prepare: Called in each thread before its first step.
    """

    def __init__(
        self,
        policy: BalancePolicy,
        servers: Sequence[Planned],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._policy, self._servers = policy, servers
        self._balancer = Balancer(policy, len(servers))
        self._threads = ThreadPoolExecutor(len(servers), initializer=prepare)
        self._running: dict[int, Future[list[Token]]] = {}
        self._places: dict[int, int] = {}
        """Which server got which request."""
        self.begun: list[int] = []
        """Numbers of the requests whose reading began in the last step."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._running and all(server.idle for server in self._servers)

    def ask(self, number: int, length: Length) -> str | None:
        """Give a request to the server whose turn it is; return why that rejects it, or None."""
        place = self._places[number] = self._balancer.take()
        rejected = self._servers[place].ask(number, length)
        if rejected is not None:
            self._balancer.give_back(place)
        return rejected

    def step(self) -> list[Token]:
        """Start steps where there is work, and wait for the first to end; return the tokens that came."""
        self.begun.clear()
        for place, server in enumerate(self._servers):
            if place not in self._running and not server.idle:
                server.plan()
                self.begun += server.begun
                self._running[place] = self._threads.submit(server.step)
        free = len(self._running) < len(self._servers)
        wait(self._running.values(), LONGEST_WAIT_S if free else None, FIRST_COMPLETED)
        tokens: list[Token] = []
        for place, step in list(self._running.items()):
            if step.done():
                del self._running[place]
                tokens += step.result()
        for token in tokens:
            if token.last:
                self._balancer.give_back(self._places[token.request])
        return tokens

    def rest(self) -> None:
        """Do nothing: servers without work wait."""

    def shares(self, requests: Sequence[ServedRequest]) -> dict[str, Any]:
        """Return how each server's counted requests ended, under its policy."""
        counted = [one for one in requests if one.counted]
        return {
            "policy": self._policy,
            "servers": [_ended([one for one in counted if self._places[one.number] == place])
                        for place in range(len(self._servers))],
        }  # fmt: skip


def _ended(requests: Sequence[ServedRequest]) -> dict[str, Any]:
    return {"requests": len(requests), "ended": dict(Counter(one.ended for one in requests))}
