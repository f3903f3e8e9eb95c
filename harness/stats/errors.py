"""The error of statistics, and the checks that raise it."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Direction = Literal["lower", "higher"]
"""Which values are better."""
LARGEST = 1e150
"""Larger values have no square."""


class StatsError(ValueError):
    """Numbers from which the answer that was asked for cannot be had."""


def finite(values: npt.ArrayLike) -> Floats:
    """Return one-dimensional `values` as float64.

    Raises:
        StatsError: none, not one-dimensional, or one is no number, NaN, infinite or beyond 1e150.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise StatsError(f"expected numbers: {error}") from error
    if array.ndim != 1:
        raise StatsError(f"expected one series of numbers, got shape {array.shape}")
    if array.size == 0:
        raise StatsError("no values")
    if not np.isfinite(array).all():
        raise StatsError("a value is NaN or infinite")
    if np.abs(array).max() > LARGEST:
        raise StatsError(f"a value is beyond {LARGEST:g}")
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


def known(direction: str) -> None:
    """Check that a direction is one.

    Raises:
        StatsError: it is not; taken for the other one, it would turn verdicts round.
    """
    if direction not in get_args(Direction):
        raise StatsError(f"direction is {direction!r}, not lower or higher")


def exp(log: float) -> float:
    """Return e to the power `log`.

    Raises:
        StatsError: no number is as large.
    """
    try:
        return math.exp(log)
    except OverflowError as error:
        raise StatsError(f"values scatter so much that a bound is e to the {log:.0f}") from error


def ratio_less_one(log: float) -> float:
    """Return e to the power `log`, less 1.

    Raises:
        StatsError: as `exp`.
    """
    return exp(log) - 1 if log > 1 else math.expm1(log)
