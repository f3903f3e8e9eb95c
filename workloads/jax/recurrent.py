"""LSTM, GRU and plain recurrence as one scan over time; torchax unrolls it, and compiles for minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

State = tuple[jax.Array, ...]
Cell = Callable[[State, jax.Array, jax.Array, jax.Array], State]
"""Of the state, the input's gates (B, g·h) with their bias, the recurrent matrix and its bias."""


def _lstm(state: State, gates: jax.Array, matrix: jax.Array, bias: jax.Array) -> State:
    hidden, cell = state
    i, f, g, o = jnp.split(gates + hidden @ matrix.T + bias, 4, -1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def _gru(state: State, gates: jax.Array, matrix: jax.Array, bias: jax.Array) -> State:
    (hidden,) = state
    r, z, n = jnp.split(gates, 3, -1)
    hr, hz, hn = jnp.split(hidden @ matrix.T + bias, 3, -1)
    reset, update = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
    return ((1 - update) * jnp.tanh(n + reset * hn) + update * hidden,)


def _plain(state: State, gates: jax.Array, matrix: jax.Array, bias: jax.Array) -> State:
    return (jnp.tanh(gates + state[0] @ matrix.T + bias),)


CELLS: dict[str, Cell] = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _plain}


def run(
    cell: str, x: jax.Array, state: State, weights: Sequence[jax.Array], *, layers: int, batch_first: bool
) -> tuple[jax.Array, ...]:
    """Run stacked layers over x, (T, B, d) or (B, T, d); return outputs and each part of the last state.

    Args:
        cell: A name in `CELLS`.
        x: The input.
        state: Hidden, and an LSTM's cell, state: each (layers, B, h).
        weights: Of each layer the matrices of input and state, and their biases, in torch's order.
        layers: How many.
        batch_first: Whether samples come before time, in the outputs too.
    """
    x = x.swapaxes(0, 1) if batch_first else x
    last: list[State] = []
    for layer in range(layers):
        into, across, bias_in, bias_across = weights[4 * layer : 4 * layer + 4]

        def step(carried: State, gates: jax.Array, across: Any = across, bias: Any = bias_across) -> Any:
            made = CELLS[cell](carried, gates, across, bias)
            return made, made[0]

        made, x = jax.lax.scan(step, tuple(part[layer] for part in state), x @ into.T + bias_in)
        last.append(made)
    parts = (jnp.stack(part) for part in zip(*last, strict=True))
    return (x.swapaxes(0, 1) if batch_first else x, *parts)
