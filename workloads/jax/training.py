"""A training step as one program: loss, gradients and update, its state donated from step to step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import torch

from workloads.base import Workload
from workloads.jax.compiles import CompileWatch, compile_ahead
from workloads.jax.mesh import Placement
from workloads.jax.optimizers import Optimizer
from workloads.jax.stateless import Arrays, Stateless
from workloads.training import LOSSES_KEPT, Mark

Loss = Callable[[Arrays, Arrays, Arrays], tuple[jax.Array, Arrays]]
"""Of trained weights, carried tensors and a batch: the loss, and the carried tensors after it."""


class TrainingStep:
    """The state of a training, and its step.

    Args:
        loss: Of one micro-batch.
        trained: The weights.
        carried: Buffers and frozen weights.
        ring: Batches that steps take in turn, each as its micro-batches, all of one shape.
        optimizer: Of the weights.
        placement: Where everything lies.
        watch: Keeps the program.
    """

    def __init__(
        self,
        loss: Loss,
        trained: Arrays,
        carried: Arrays,
        ring: Sequence[Sequence[Arrays]],
        optimizer: Optimizer,
        placement: Placement,
        watch: CompileWatch,
    ) -> None:
        put = placement.weight
        self.trained, self.carried = jax.tree.map(put, trained), jax.tree.map(put, carried)
        self.optimizer_state = jax.tree.map(put, optimizer.init(trained))
        self._ring = [[jax.tree.map(placement.batch, part) for part in parts] for parts in ring]
        self._first: jax.Array | None = None
        self._last: deque[jax.Array] = deque(maxlen=LOSSES_KEPT)
        state = (self.trained, self.carried, self.optimizer_state)
        where = jax.tree.map(placement.weight_sharding, state)

        def step(state: Any, parts: Sequence[Arrays]) -> tuple[Any, jax.Array]:
            trained, carried, kept = state
            total, gradients = jnp.zeros(()), jax.tree.map(jnp.zeros_like, trained)
            for batch in parts:
                graded = jax.value_and_grad(loss, has_aux=True)
                (part, carried), found = graded(trained, carried, batch)
                total = total + part / len(parts)
                gradients = jax.tree.map(lambda g, d: g + d / len(parts), gradients, found)
            trained, kept = optimizer.update(trained, kept, gradients)
            return (trained, carried, kept), total

        out = (where, placement.whole)
        self._program = watch.add(
            compile_ahead("train step", step, state, self._ring[0], donate=(0,), out_shardings=out)
        )

    def __call__(self, index: int, _mark: Mark) -> Any:
        """Launch a step; return every output of it."""
        state = (self.trained, self.carried, self.optimizer_state)
        state, loss = self._program.call(state, self._ring[index % len(self._ring)])
        self.trained, self.carried, self.optimizer_state = state
        if self._first is None:
            self._first = loss
        else:
            self._last.append(loss)
        return state, loss

    @property
    def last(self) -> jax.Array | None:
        """The last step's loss."""
        return self._last[-1] if self._last else self._first

    def losses(self) -> list[float]:
        """Read the first loss and the last few thousand, oldest first."""
        return [] if self._first is None else [float(loss) for loss in (self._first, *self._last)]


def torch_loss(workload: Workload, stateless: Stateless, autocast: torch.dtype | None = None) -> Loss:
    """Return the loss of a torch workload as a pure function.

    Args:
        workload: Whose loss it is.
        stateless: Its model.
        autocast: The type of products, None leaves them in the weights' own.
    """

    def loss(trained: Arrays, carried: Arrays, batch: Arrays) -> tuple[jax.Array, Arrays]:
        made, after = stateless.call(workload.loss, trained, carried, batch, autocast=autocast)
        return made.astype(jnp.promote_types(made.dtype, jnp.float32)), after

    return loss
