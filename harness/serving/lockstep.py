"""One engine over several ranks: rank 0 has the load, and every rank runs the same engine steps.

A model that is split over ranks works only when all of them run it. Rank 0 says before each of its steps
which requests came and whether the engine works; equal requests in an equal order make equal steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.serving.lengths import Length
from harness.serving.session import Server

if TYPE_CHECKING:
    from workloads.engine.continuous_batching import Token


@dataclass(frozen=True, slots=True)
class Turn:
    """What rank 0 says of a step."""

    asked: tuple[tuple[int, Length], ...] = ()
    """Requests that the engine took, by number."""
    works: bool = False
    """Whether the engine runs a step."""
    last: bool = False
    """Whether there is no further one."""


Agree = Callable[[Turn | None], Turn | None]
"""Returns rank 0's value on every rank."""


class Leader:
    """Rank 0's server: the engine beside it, and a word to the others before each step."""

    def __init__(self, server: Server, agree: Agree) -> None:
        self._server, self._agree = server, agree
        self._asked: list[tuple[int, Length]] = []

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._server.idle

    @property
    def begun(self) -> list[int]:
        """Numbers of the requests whose reading began in the last step."""
        return self._server.begun

    def ask(self, number: int, length: Length) -> str | None:
        """Submit a request; return why the engine rejects it, or None."""
        rejected = self._server.ask(number, length)
        if rejected is None:
            self._asked.append((number, length))
        return rejected

    def step(self) -> list[Token]:
        """Let the engines of all ranks work once."""
        self._agree(Turn(tuple(self._asked), works=True))
        self._asked.clear()
        return self._server.step()

    def rest(self) -> None:
        """Tell the others of a step without work."""
        self._agree(Turn())

    def end(self) -> None:
        """Let the others go."""
        self._agree(Turn(last=True))


class Follower:
    """Any other rank's server: it does what rank 0 says."""

    def __init__(self, server: Server, agree: Agree) -> None:
        self._server, self._agree = server, agree

    def step(self, _index: int = 0, _mark: Callable[[str], None] | None = None) -> bool:
        """Run one step; return False when rank 0 says that there is no further one.

        Raises:
            RuntimeError: the engine here rejects what rank 0's took.
        """
        said = self._agree(None)
        assert said is not None
        for number, length in said.asked:
            if (why := self._server.ask(number, length)) is not None:
                raise RuntimeError(f"request {number} was taken by rank 0 and not here: {why}")
        if said.works:
            self._server.step()
        return not said.last

    def end(self) -> None:
        """Work on until rank 0 has ended."""
        while self.step():
            pass
