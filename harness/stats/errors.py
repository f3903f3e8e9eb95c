"""The error of statistics, and the checks that raise it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class StatsError(ValueError):
    """Numbers from which the answer that was asked for cannot be had."""


def finite(values: npt.ArrayLike) -> Floats:
    """Return one-dimensional `values` as float64.

    Raises:
        StatsError: none, not one-dimensional, or one is NaN or infinite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise StatsError(f"expected one series of numbers, got shape {array.shape}")
    if array.size == 0:
        raise StatsError("no values")
    if not np.isfinite(array).all():
        raise StatsError("a value is NaN or infinite")
    return array


def positive(values: npt.ArrayLike) -> Floats:
    """Return `values` as `finite` does, all of them positive.

    Raises:
        StatsError: as `finite`, or one is zero or negative.
    """
    array = finite(values)
    if array.min() <= 0:
        raise StatsError("a value is zero or negative, so it has no logarithm")
    return array


def in_unit(name: str, value: float) -> None:
    """Check that `value` lies between 0 and 1, both excluded.

    Raises:
        StatsError: it does not.
    """
    if not 0 < value < 1:
        raise StatsError(f"{name} is {value}, not between 0 and 1")
