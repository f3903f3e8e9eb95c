"""Model FLOPs in closed form, two per multiply-add (docs/method.md, section 1).

Counted: matrix products, convolutions, attention products. Not counted: embeddings, normalisation,
activations, softmax, additions. A padded position costs what any other does, because the model computes it.
"""

from __future__ import annotations

from collections.abc import Sequence

TRAIN_FACTOR = 3.0
"""Backward costs twice the forward pass: one product for the inputs' gradient, one for the weights'."""


def linear(rows: int, fan_in: int, fan_out: int) -> float:
    """Return the FLOPs of a linear layer over `rows` vectors: 2·rows·in·out."""
    return 2.0 * rows * fan_in * fan_out


def conv2d(out_pixels: int, channels_in: int, channels_out: int, kernel: int) -> float:
    """Return the FLOPs of a square convolution that writes `out_pixels` positions (batch included)."""
    return 2.0 * out_pixels * channels_in * channels_out * kernel * kernel


def attention(
    batch: int, queries: int, keys: int, hidden: int, layers: int, *, causal: bool = False
) -> float:
    """Return the FLOPs of q·kᵀ and p·v: 4·B·S²·d·L; causal work is half of it, the lower triangle."""
    full = 4.0 * batch * queries * keys * hidden * layers
    return full / 2.0 if causal else full


def encoder_layers(tokens: int, hidden: int, inner: int, layers: int) -> float:
    """Return 2·N_mm·T of the blocks: query, key, value and output (4·d²), two feed-forward products."""
    return 2.0 * tokens * layers * (4 * hidden * hidden + 2 * hidden * inner)


def recurrent(batch: int, steps: int, gates: int, layers: Sequence[tuple[int, int]]) -> float:
    """Return 2·B·T·Σ g·h·(i+h) over layers (i, h); g is 4 for LSTM, 3 for GRU, 1 for a plain RNN."""
    return 2.0 * batch * steps * sum(gates * h * (i + h) for i, h in layers)
