"""The front and its probabilities, where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats import StatsError, pareto, undecided


def point(*centre, sd=0.001, n=6, seed=0):
    """Return processes scattered round a point."""
    return np.asarray(centre) * np.exp(np.random.default_rng(seed).normal(0, sd, (n, len(centre))))


def test_a_front_far_from_noise_is_certain():
    """Two that trade time for energy are on it; the one that is worse in both is not."""
    assert pareto([point(1, 3), point(3, 1), point(4, 4)]) == [1.0, 1.0, 0.0]


def test_directions_turn_objectives_round():
    """With more throughput and less energy better, the corner changes."""
    points = [point(1, 3), point(3, 1), point(4, 4)]
    assert pareto(points, ["higher", "lower"]) == [0.0, 1.0, 1.0]


def test_a_tie_within_the_noise_is_undecided():
    """Two configurations of one truth, equal in energy: each is on the front about every other time."""
    rng = np.random.default_rng(1)
    a, b = (np.column_stack([np.exp(rng.normal(0, 0.01, 6)), np.ones(6)]) for _ in range(2))
    b[:, 0] *= np.exp(np.log(a[:, 0]).mean() - np.log(b[:, 0]).mean())
    chances = pareto([a, b])
    assert sum(chances) == pytest.approx(1, abs=0.01)
    assert all(undecided(chance) for chance in chances)


def test_equal_points_do_not_push_each_other_off():
    """Nobody dominates its equal."""
    assert pareto([np.ones((3, 2)), np.ones((3, 2))]) == [1.0, 1.0]


def test_what_processes_share_is_kept_together():
    """Slow processes that use more energy move along the diagonal, and never off the front."""
    shared = np.exp(np.random.default_rng(2).normal(0, 0.05, 6))
    a = np.column_stack([shared, shared])
    b = np.column_stack([shared * 1.5, shared / 1.5])
    assert pareto([a, b]) == [1.0, 1.0]


def test_the_same_seed_gives_the_same_answer():
    """Nothing depends on the hour."""
    points = [point(1, 1, sd=0.1), point(1.02, 1.01, sd=0.1, seed=1)]
    assert pareto(points, seed=4) == pareto(points, seed=4)


def test_undecided_lies_between_one_and_nineteen_twentieths():
    """Both limits belong to it."""
    assert [undecided(p) for p in (0.0, 0.049, 0.05, 0.5, 0.95, 0.951, 1.0)] == [
        False,
        False,
        *[True] * 3,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("points", "directions"),
    [
        ([], None),
        ([np.ones((1, 2))], None),
        ([np.ones(3)], None),
        ([np.ones((3, 2)), np.ones((3, 3))], None),
        ([np.ones((3, 2))], ["lower"]),
        ([[[1.0, math.nan], [1.0, 1.0]]], None),
        ([[[1.0, 0.0], [1.0, 1.0]]], None),
    ],
)
def test_bad_points_are_refused(points, directions):
    """None, one process, a wrong shape, objectives that differ, NaN, zero."""
    with pytest.raises(StatsError):
        pareto(points, directions)
