"""The processes that run the same steps together: they must agree on how many, or they wait for ever."""

from __future__ import annotations

from typing import TypeVar

_T = TypeVar("_T")


class Peers:
    """One process alone, which agrees with itself; `harness.trial.ranks` has the peers of several."""

    rank: int = 0
    world: int = 1

    def agree(self, value: _T) -> _T:
        """Return rank 0's value; every rank calls it.

        Within a measured span only where it is part of the work: an engine over ranks agrees on every step.
        """
        return value

    def gather(self, value: _T) -> list[_T]:
        """Return every rank's value, in the order of ranks; every rank calls it."""
        return [value]

    def barrier(self) -> None:
        """Wait until every rank is here."""


ALONE = Peers()
