"""Which configurations are on the Pareto front, and how surely (docs/method.md, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.stats.errors import Direction, Floats, StatsError, known, positive

DECIDED = 0.05
"""Below this probability a configuration is off the front, above one less this it is on it."""


def pareto(
    points: Sequence[npt.ArrayLike],
    directions: Sequence[Direction] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> list[float]:
    """Return each configuration's probability of being on the front, by a bootstrap over its processes.

    A process is drawn with all its objectives, so that what they share is kept; a draw's point is the mean of
    the logs. A configuration is on the front when no other is at least as good in all objectives and better
    in one.

    Args:
        points: For each configuration the process means, shape (processes, objectives), all positive.
        directions: Which values are better, by objective; lower unless given.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Raises:
        StatsError: no configuration, shapes that do not agree, fewer than two processes (whose bootstrap
            would always say 0 or 1), or a value that is NaN, infinite, zero or negative.
    """
    logs = [_logs(point) for point in points]
    if not logs:
        raise StatsError("no configuration to place")
    objectives = logs[0].shape[1]
    if any(one.shape[1] != objectives for one in logs):
        raise StatsError("configurations differ in their number of objectives")
    wanted = directions or ["lower"] * objectives
    if len(wanted) != objectives:
        raise StatsError(f"{len(wanted)} directions for {objectives} objectives")
    for direction in wanted:
        known(direction)
    signs = np.array([1.0 if direction == "lower" else -1.0 for direction in wanted])
    rng = np.random.default_rng(seed)
    draws = np.stack([_draw(one * signs, resamples, rng) for one in logs])
    on_front = np.zeros(len(logs))
    for i, mine in enumerate(draws):
        dominated = ((draws <= mine).all(axis=2) & (draws < mine).any(axis=2)).any(axis=0)
        on_front[i] = 1 - dominated.mean()
    return [float(share) for share in on_front]


def undecided(probability: float) -> bool:
    """Return whether the data leave open if a configuration with this probability is on the front."""
    return DECIDED <= probability <= 1 - DECIDED


def _logs(point: npt.ArrayLike) -> Floats:
    try:
        array = np.asarray(point, np.float64)
    except (TypeError, ValueError) as error:
        raise StatsError(f"expected processes by objectives: {error}") from error
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] == 0:
        raise StatsError(f"expected at least two processes by objectives, got shape {array.shape}")
    return np.log(positive(array.ravel())).reshape(array.shape)


def _draw(logs: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Return bootstrap means of the logs, shape (resamples, objectives)."""
    n = len(logs)
    means: Floats = logs[rng.integers(n, size=(resamples, n))].mean(axis=1)
    # A bootstrap of n values is too narrow by (n - 1)/n in variance, which matters with six.
    centre = logs.mean(axis=0)
    widened: Floats = centre + (means - centre) * np.sqrt(n / (n - 1))
    return widened
