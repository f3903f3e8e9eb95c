"""Quantiles of the studentised range, by which Tukey's procedure tells configurations apart."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.stats.errors import Floats

WIDEST = 18.0
"""A range of standard normals that no sample of a size met here exceeds, but for a share of 1e-30."""
FARTHEST = 9.0
"""Standard deviations beyond which a normal's density counts for nothing."""
NODES_OF_RANGE, NODES_OF_SPREAD = 256, 96
TAIL = 1e-15
"""Of the spread's distribution, left out at each end."""
CLOSE = 1e-10
"""Relative error of a quantile at which the search ends."""


@lru_cache(maxsize=256)
def studentised_range(level: float, k: int, degrees: int) -> float:
    """Return q with P(range of k standard normals / s <= q) = level, s² over `degrees` of freedom.

    P = ∫ f(s)·H(q·s) ds with f the density of √(χ²/degrees) and H(w) = k·∫ φ(z)·[Φ(z) - Φ(z - w)]^(k-1) dz
    (Copenhaver and Holland, 1988), both integrals by Gauss and Legendre.

    Args:
        level: Between 0 and 1.
        k: Configurations, at least 2.
        degrees: At least 1.
    """
    low, at_low = 0.0, -level
    high, at_high = 2.0, _below(2.0, k, degrees) - level
    while at_high < 0:
        low, at_low = high, at_high
        high *= 2
        at_high = _below(high, k, degrees) - level
    last, q = low, high
    while abs(q - last) > CLOSE * q:
        last, q = q, (low * at_high - high * at_low) / (at_high - at_low)
        at = _below(q, k, degrees) - level
        # False position; the end that stays counts half, so that it moves too (Illinois).
        if at < 0:
            low, at_low, at_high = q, at, at_high / 2
        else:
            high, at_high, at_low = q, at, at_low / 2
    return q


def _below(q: float, k: int, degrees: int) -> float:
    """Return the probability that a studentised range is at most q."""
    from scipy.special import gammainccinv, gammaincinv

    half = degrees / 2
    first = math.sqrt(float(gammaincinv(half, TAIL)) / half)
    last = min(math.sqrt(float(gammainccinv(half, TAIL)) / half), WIDEST / q)
    if last <= first:
        return 1.0
    s, weights = _nodes(NODES_OF_SPREAD, first, last)
    density = np.exp(
        half * math.log(half) - math.lgamma(half) + math.log(2) + (degrees - 1) * np.log(s) - half * s * s
    )
    return 1.0 - float(weights @ (density * (1.0 - _range_below(q * s, k))))


def _range_below(w: Floats, k: int) -> Floats:
    """Return the probabilities that the range of k standard normals is at most w."""
    from scipy.special import ndtr

    z, weights = _nodes(NODES_OF_RANGE, -FARTHEST, FARTHEST)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    between = ndtr(z) - ndtr(z[None, :] - w[:, None])
    found: Floats = k * (between ** (k - 1) @ (weights * density))
    return np.minimum(found, 1.0)


@lru_cache(maxsize=4)
def _legendre(n: int) -> tuple[Floats, Floats]:
    x, weights = np.polynomial.legendre.leggauss(n)
    return x, weights


def _nodes(n: int, first: float, last: float) -> tuple[Floats, Floats]:
    x, weights = _legendre(n)
    return (first + last) / 2 + (last - first) / 2 * x, (last - first) / 2 * weights
