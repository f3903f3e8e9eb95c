"""What a parallel strategy is: how a model, its batches and its training step are spread over ranks.

The harness has set up torch's default process group before a strategy is used, gloo on the CPU and NCCL on
CUDA; every rank runs the same code. The defaults here are those of one rank alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Scalar, Workload
from workloads.transform import Transform

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.parallel.traffic import Traffic
    from workloads.training import Mark, Training

__all__ = [
    "Ranks",
    "Strategy",
]


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of its trial."""

    rank: int = 0
    world: int = 1


class Strategy(Transform):
    """Spreads one workload over ranks.

    Args:
        settings: Every setting of its spec, checked.
        ranks: This process among its peers.
        precision: Of the trial.
    """

    spreads_weights: ClassVar[bool] = False
    """Whether the optimizer sees weights of which each rank holds a part, whatever the settings."""

    def __init__(self, settings: Mapping[str, Scalar], ranks: Ranks, precision: str = "fp32") -> None:
        super().__init__(settings)
        self.ranks = ranks
        self.precision = precision

    @property
    def shard(self) -> tuple[int, int]:
        """Which share of a batch is this rank's, as (index, count); ranks of one index have the same."""
        return 0, 1

    @property
    def counts(self) -> bool:
        """True on the rank that counts its shard's samples, tokens and FLOPs: one for each index."""
        return self.ranks.rank == 0

    @property
    def cache_parts(self) -> int:
        """Into how many parts a cache of keys and values is split, one per rank."""
        return 1

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return the model as this rank holds it, from the same whole model on every rank.

        It is on the rank's device, compressed and cast. The model given is compiled in place afterwards,
        where that was asked for.
        """
        return model

    def share(self, batch: Batch) -> Batch:
        """Return what this rank takes of its shard's batch, after `place`; units count all of it."""
        return batch

    def optimizer(
        self, make: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer], model: nn.Module
    ) -> torch.optim.Optimizer:
        """Return the optimizer of the placed model; `make` builds the one that was asked for."""
        return make(model.parameters())

    def train_step(self, training: Training) -> Callable[[int, Mark], None]:
        """Return the training step."""
        from workloads.training import train_step

        return train_step(training)

    def world_losses(self, losses: torch.Tensor) -> torch.Tensor:
        """Return the losses of the whole batch from this rank's, shape (steps,); called by every rank."""
        return losses

    def traffic(self, training: Training) -> list[Traffic]:
        """Return what this rank sends in one step at precision fp32, at most one entry of a kind.

        An empty list says that there is no closed form, or nothing to send.
        """
        return []

    def evidence(self) -> dict[str, Any]:
        """Return what the record says of the strategy: its layout, bytes moved, staleness."""
        return {}
