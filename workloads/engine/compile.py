"""What the compiler makes of a model: its graphs, where they break, and when it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from workloads.base import Batch
    from workloads.training import Mark

REPLAYED = ("reduce-overhead", "max-autotune")
"""Modes that make CUDA graphs on a GPU. A graph writes the same outputs again at every replay."""
_LIMIT = "recompile limit exceeded"


class Compiled:
    """A model whose forward pass is compiled in place, with torch's count of the graphs that come of it.

    A process compiles one model: torch counts for all of them together.
    """

    within = 0
    """Graphs that were made within `watch`."""
    seconds = None
    """The first step compiles."""

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
        skipped = self._counters["inductor"]["cudagraph_skips"]
        said += [f"{breaks} breaks"] if breaks else []
        said += [f"{skipped} without CUDA graphs"] if skipped else []
        said += ["then eager: compiled too often"] if self.gave_up else []
        return f"compiled, {', '.join(said)}"


def within_steps(step: Callable[[int, Mark], None]) -> Callable[[int, Mark], None]:
    """Return a step in which the outputs of CUDA graphs last from one call of the model to the next.

    Without a mark torch takes each call for a new step, whose graphs may write over a cache that the call
    before returned, or over gradients that are to add up.
    """

    def marked(index: int, mark: Mark) -> None:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        step(index, mark)

    return marked


def lasting(loss: Callable[[nn.Module, Batch], torch.Tensor]) -> Callable[[nn.Module, Batch], torch.Tensor]:
    """Return the loss in memory of its own: the next step's graphs write over what the model returned."""
    return lambda model, batch: loss(model, batch).clone()
