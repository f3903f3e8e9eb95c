"""How a workload is to be run, as plain data that loads without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workloads.base import Scalar
from workloads.compress.base import Compressor
from workloads.compress.registry import COMPRESSORS
from workloads.optimize import EAGER, Optimize
from workloads.parallel.base import Ranks, Strategy
from workloads.parallel.registry import STRATEGIES
from workloads.transform import NONE

ALONE = Ranks()


@dataclass(frozen=True, slots=True)
class Chosen:
    """A compressor or strategy by name, with every setting that it has; `none` is no such thing."""

    name: str = NONE
    settings: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything beside the workload itself that decides what a step does. None is the workload's own."""

    device: str = "cpu"
    precision: str = "fp32"
    optimizer: str | None = None
    lr: float | None = None
    accumulate: int = 1
    """Micro-batches of a batch, whose gradients add up before one optimizer step."""
    temperature: float = 1.0
    top_k: int | None = None
    optimize: Optimize = EAGER
    compress: Chosen = Chosen()
    parallel: Chosen = Chosen()
    ranks: Ranks = ALONE
    on_weights: Callable[[Any], None] | None = None
    """Called with the model that has its first weights, before anything is done to it."""

    def compressor(self) -> Compressor:
        """Return the compressor, one that changes nothing where none was chosen."""
        kind = Compressor if self.compress.name == NONE else COMPRESSORS.get(self.compress.name)
        return kind(self.compress.settings)

    def strategy(self) -> Strategy:
        """Return the strategy, that of one rank alone where none was chosen."""
        kind = Strategy if self.parallel.name == NONE else STRATEGIES.get(self.parallel.name)
        return kind(self.parallel.settings, self.ranks, self.precision)
