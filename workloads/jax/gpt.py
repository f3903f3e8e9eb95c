"""GPT written by hand in JAX, on the torch model's names of weights: an independent witness."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Arrays = dict[str, jax.Array]


def norm(weights: Arrays, name: str, x: jax.Array) -> jax.Array:
    """Normalise the last dimension."""
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(weights: Arrays, name: str, x: jax.Array) -> jax.Array:
    """Multiply by a matrix (out, in) and add a bias."""
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attention(weights: Arrays, name: str, x: jax.Array, heads: int) -> jax.Array:
    """Attend causally over x (B, S, d)."""
    batch, length, width = x.shape
    q, k, v = linear(weights, f"{name}.qkv", x).reshape(batch, length, 3, heads, -1).transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) * (width // heads) ** -0.5
    scores = jnp.where(jnp.tri(length, dtype=bool), scores, -jnp.inf)
    mixed = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
    return linear(weights, f"{name}.out", mixed)


def logits(weights: Arrays, tokens: jax.Array, *, layers: int, heads: int) -> jax.Array:
    """Return logits (B, S, V) for tokens (B, S)."""
    x = weights["token.weight"][tokens] + weights["position.weight"][: tokens.shape[1]]
    for layer in range(layers):
        block = f"blocks.{layer}"
        x = x + attention(weights, f"{block}.attention", norm(weights, f"{block}.norm1", x), heads)
        inner = linear(weights, f"{block}.up", norm(weights, f"{block}.norm2", x))
        x = x + linear(weights, f"{block}.down", jax.nn.gelu(inner, approximate=True))
    return norm(weights, "norm", x) @ weights["token.weight"].T


def loss(
    weights: Arrays, carried: Arrays, batch: Arrays, *, layers: int, heads: int
) -> tuple[jax.Array, Arrays]:
    """Return the mean cross-entropy of the next token; GPT carries nothing."""
    chances = jax.nn.log_softmax(logits(weights, batch["tokens"], layers=layers, heads=heads))
    return -jnp.take_along_axis(chances, batch["targets"][..., None], -1).mean(), carried
