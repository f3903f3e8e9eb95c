"""SGD with momentum and AdamW as pure functions: the equations of torch's, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

Arrays = dict[str, jax.Array]
MOMENTUM = 0.9
BETA1, BETA2, EPS, DECAY = 0.9, 0.999, 1e-8, 1e-2
"""The defaults of torch.optim.AdamW, which `workloads.training.make_optimizer` takes."""


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Its state for some weights, and the update of both by gradients."""

    init: Callable[[Arrays], Any]
    update: Callable[[Arrays, Any, Arrays], tuple[Arrays, Any]]
    """Of weights, state and gradients; returns weights and state."""


def optimizer(name: str, lr: float) -> Optimizer:
    """Return an optimizer by its name.

    Raises:
        ValueError: an unknown name.
    """
    if name == "sgd":
        return Optimizer(_zeros, lambda w, s, g: _sgd(w, s, g, lr))
    if name == "adamw":
        return Optimizer(
            lambda w: {"step": jnp.zeros((), jnp.int32), "m": _zeros(w), "v": _zeros(w)},
            lambda w, s, g: _adamw(w, s, g, lr),
        )
    raise ValueError(f"optimizer {name!r} is not one of sgd, adamw")


def _zeros(weights: Arrays) -> Arrays:
    return jax.tree.map(jnp.zeros_like, weights)


def _sgd(weights: Arrays, momenta: Arrays, gradients: Arrays, lr: float) -> tuple[Arrays, Arrays]:
    momenta = jax.tree.map(lambda m, g: MOMENTUM * m + g, momenta, gradients)
    return jax.tree.map(lambda w, m: w - lr * m, weights, momenta), momenta


def _adamw(weights: Arrays, state: Any, gradients: Arrays, lr: float) -> tuple[Arrays, Any]:
    step = state["step"] + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state["m"], gradients)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, state["v"], gradients)

    def moved(weight: jax.Array, mean: jax.Array, square: jax.Array) -> jax.Array:
        number = step.astype(weight.dtype)
        rate = lr / (1 - BETA1**number)
        root = jnp.sqrt(square) / jnp.sqrt(1 - BETA2**number) + EPS
        return weight * (1 - lr * DECAY) - rate * mean / root

    return jax.tree.map(moved, weights, m, v), {"step": step, "m": m, "v": v}
