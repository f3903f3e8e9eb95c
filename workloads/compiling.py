"""What the compiler makes of a model: its graphs, where they break, and when it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import nn

_LIMIT = "recompile limit exceeded"


class Compiled:
    """A model whose forward pass is compiled in place, with torch's count of the graphs that come of it.

    A process compiles one model: torch counts for all of them together.
    """

    within = 0
    """Graphs that were made within `watch`."""

    def __init__(self, model: nn.Module, mode: str) -> None:
        from torch._dynamo import reset
        from torch._dynamo.utils import counters

        reset()
        counters.clear()
        self._counters = counters
        model.compile(mode=mode)

    @property
    def graphs(self) -> int:
        """Graphs so far; a model that is compiled again for other inputs makes more."""
        return int(self._counters["stats"]["unique_graphs"])

    @property
    def gave_up(self) -> bool:
        """Whether a part was compiled so often that torch runs further inputs of it eagerly."""
        return any(_LIMIT in reason for reason in cast("dict[str, int]", self._counters["unimplemented"]))

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count the graphs that are made meanwhile."""
        before = self.graphs
        yield
        self.within = self.graphs - before

    def __str__(self) -> str:
        """Say what came of it, in the words of a record."""
        if not self.graphs:
            return "not compiled"
        breaks = sum(self._counters["graph_break"].values())
        said = [f"{self.graphs} graph{'s' * (self.graphs != 1)}"]
        said += [f"{breaks} breaks"] if breaks else []
        said += ["then eager: compiled too often"] if self.gave_up else []
        return f"compiled, {', '.join(said)}"
