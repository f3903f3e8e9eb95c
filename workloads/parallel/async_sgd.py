"""Asynchronous SGD: workers push gradients to a parameter server and pull weights; none waits for another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import TRAINING, Workload
from workloads.parallel.base import Strategy
from workloads.parallel.shares import uneven_batch
from workloads.parallel.traffic import Traffic, gradient_bytes
from workloads.transform import Cell, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.parallel.server import Server
    from workloads.training import Mark, Training


class AsyncSGD(Strategy):
    """Rank 0 is the server, with weights in host memory; every other rank works on a share of the batch.

    An update is one worker's gradient; its staleness is the number of updates that the server made since that
    worker last pulled. In one step each worker pushes once and the server serves as many pushes, from whom
    they come first. Weights and gradients travel over gloo, through host memory.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="async_sgd",
        title="Asynchronous SGD",
        summary="a parameter server applies each worker's gradient when it comes; staleness is recorded",
        modes=TRAINING,
        needs=frozenset({"samples"}),
    )

    @property
    def shard(self) -> tuple[int, int]:
        """Each worker's share; the server, which takes none, is given the first."""
        return max(0, self.ranks.rank - 1), self.ranks.world - 1

    @property
    def counts(self) -> bool:
        """The workers count."""
        return self.ranks.rank > 0

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse a server without workers, and uneven shares of the batch."""
        if cell.ranks < 2:
            return "async_sgd needs at least 2 ranks, a server and a worker"
        return uneven_batch(cell, cell.ranks - 1)

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return the model; the server's lies in host memory."""
        import torch.distributed as dist

        self._group = dist.new_group(backend="gloo")
        return model if self.counts else model.cpu()

    def optimizer(
        self, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], model: nn.Module
    ) -> torch.optim.Optimizer:
        """Return the server's optimizer; a worker's pushes and pulls."""
        from workloads.parallel.server import PushPull, Server

        if self.counts:
            return PushPull(model.parameters(), self._group)
        optimizer = make(model.parameters())
        self._server: Server = Server(model.parameters(), optimizer, self._group)
        return optimizer

    def train_step(self, training: Training) -> Callable[[int, Mark], None]:
        """Return a worker's step, or the server's."""
        import torch

        from workloads.training import train_step

        if self.counts:
            return train_step(training)
        workers, nothing = self.ranks.world - 1, torch.zeros(())

        def serve(_index: int, _mark: Mark) -> None:
            for _ in range(workers):
                self._server.serve()
            training.done(nothing)

        return serve

    def traffic(self, training: Training) -> list[Traffic]:
        """A worker's gradients and the weights that come of them; the server's are those of all workers."""
        pushes = 1 if self.counts else self.ranks.world - 1
        size = pushes * gradient_bytes(training.model.parameters())
        return [Traffic("send", size, pushes), Traffic("recv", size, pushes)]

    def world_losses(self, losses: torch.Tensor) -> torch.Tensor:
        """Average the workers' losses; the server has none."""
        import torch.distributed as dist

        total = losses.cpu()
        dist.all_reduce(total, group=self._group)
        return total / (self.ranks.world - 1)

    def evidence(self) -> dict[str, Any]:
        """Report the layout, and on the server what it did."""
        layout: dict[str, Any] = {"parallel": {"server": 1, "workers": self.ranks.world - 1}}
        return layout if self.counts else layout | self._server.evidence()
