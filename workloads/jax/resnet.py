"""ResNet written by hand in JAX, on the torch model's names of weights: an independent witness."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Arrays = dict[str, jax.Array]
MOMENTUM, EPS = 0.1, 1e-5


class Network:
    """One forward pass; the running statistics of its norms are collected in `carried` as it goes.

    Args:
        weights: Parameters by name.
        carried: Running statistics by name, before the pass.
    """

    def __init__(self, weights: Arrays, carried: Arrays) -> None:
        self.weights, self.carried = weights, dict(carried)

    def convolution(self, name: str, x: jax.Array, stride: int = 1) -> jax.Array:
        """Convolve (N, C, H, W), padded to keep the size at stride 1, and normalise by the batch."""
        kernel = self.weights[f"{name}.0.weight"]
        pad = (kernel.shape[-1] // 2,) * 2
        x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), (pad, pad))
        return self._norm(f"{name}.1", x)

    def _norm(self, name: str, x: jax.Array) -> jax.Array:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        count = x.size // x.shape[1]
        for kind, value in (("mean", mean), ("var", variance * count / (count - 1))):
            old = self.carried[f"{name}.running_{kind}"]
            self.carried[f"{name}.running_{kind}"] = old + MOMENTUM * (value - old)
        self.carried[f"{name}.num_batches_tracked"] += 1
        factor = self.weights[f"{name}.weight"] * jax.lax.rsqrt(variance + EPS)
        return (x - mean[:, None, None]) * factor[:, None, None] + self.weights[f"{name}.bias"][:, None, None]

    def block(self, name: str, x: jax.Array, stride: int) -> jax.Array:
        """Map through a basic or a bottleneck block, whichever the names are of, beside its shortcut."""
        if f"{name}.first.0.weight" in self.weights:
            inner = jax.nn.relu(self.convolution(f"{name}.first", x, stride))
            inner = self.convolution(f"{name}.second", inner)
        else:
            inner = jax.nn.relu(self.convolution(f"{name}.down", x))
            inner = jax.nn.relu(self.convolution(f"{name}.middle", inner, stride))
            inner = self.convolution(f"{name}.up", inner)
        projected = f"{name}.shortcut.0.weight" in self.weights
        beside = self.convolution(f"{name}.shortcut", x, stride) if projected else x
        return jax.nn.relu(inner + beside)

    def logits(self, images: jax.Array, stages: Sequence[int]) -> jax.Array:
        """Return class logits (N, classes) for images (N, 3, H, W)."""
        x = jax.nn.relu(self.convolution("stem", images, 2))
        pads = ((0, 0), (0, 0), (1, 1), (1, 1))
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), pads)
        number = 0
        for stage, count in enumerate(stages):
            for place in range(count):
                x = self.block(f"blocks.{number}", x, 2 if stage and not place else 1)
                number += 1
        return x.mean((2, 3)) @ self.weights["head.weight"].T + self.weights["head.bias"]


def loss(
    weights: Arrays, carried: Arrays, batch: Arrays, *, stages: Sequence[int]
) -> tuple[jax.Array, Arrays]:
    """Return the mean cross-entropy of the classes, and the running statistics after the pass."""
    network = Network(weights, carried)
    chances = jax.nn.log_softmax(network.logits(batch["images"], stages))
    return -jnp.take_along_axis(chances, batch["labels"][:, None], -1).mean(), network.carried
