"""Ranks with ties: by hand against the printed table of the studentised range, and their letters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats import StatsError, rank

Q_3_6 = 4.339
"""Studentised range at .95 for 3 groups and 6 degrees of freedom, from the printed table."""


def groups(*centres, sd=0.01, n=3):
    """Return process means with exactly these log means and this standard deviation."""
    z = np.linspace(-1, 1, n)
    return [np.exp(c + sd * z / z.std(ddof=1)) for c in centres]


def test_the_least_difference_is_tukeys():
    """Three groups of three with sd 0.01 differ beyond q·0.01/√3, and not before."""
    least = Q_3_6 * 0.01 / math.sqrt(3)
    near, far = rank(groups(0, 0.999 * least, 9)), rank(groups(0, 1.001 * least, 9))
    assert [(r.best, r.worst) for r in near] == [(1, 2), (1, 2), (3, 3)]
    assert [(r.best, r.worst) for r in far] == [(1, 1), (2, 2), (3, 3)]


def test_ranks_keep_the_order_given_and_follow_the_direction():
    """The answer belongs to the groups as they came; higher may be better."""
    ranked = rank(groups(0.5, 0.0, 1.0))
    assert [r.best for r in ranked] == [2, 1, 3]
    assert [r.estimate for r in ranked] == pytest.approx(np.exp([0.5, 0, 1]))
    assert [r.best for r in rank(groups(0.5, 0.0, 1.0), direction="higher")] == [2, 3, 1]


def test_a_chain_shares_letters_without_being_one_tie():
    """Neighbours cannot be distinguished, the ends can: the middle one carries both letters and all ranks."""
    step = 0.7 * Q_3_6 * 0.01 / math.sqrt(3)
    ranked = rank(groups(0, step, 2 * step))
    assert [r.letters for r in ranked] == ["a", "ab", "b"]
    assert [(r.best, r.worst) for r in ranked] == [(1, 2), (1, 3), (2, 3)]


def test_letters_say_exactly_which_pairs_differ():
    """With groups of different sizes, two share a letter if and only if rank intervals do not order them."""
    rng = np.random.default_rng(5)
    for _ in range(8):
        sizes = rng.integers(2, 9, 9)
        sample = [np.exp(rng.normal(rng.uniform(0, 0.05), 0.01, n)) for n in sizes]
        ranked = rank(sample)
        for i, a in enumerate(ranked):
            apart = [j for j, b in enumerate(ranked) if not set(a.letters) & set(b.letters)]
            below = [j for j in apart if ranked[j].estimate < a.estimate]
            assert a.best == 1 + len(below), i
            assert a.worst == len(ranked) - (len(apart) - len(below)), i


def test_more_than_26_letters_have_names():
    """Thirty groups far apart have thirty different letters."""
    ranked = rank(groups(*range(30)))
    assert ranked[0].letters == "a"
    assert ranked[26].letters == "(27)"
    assert len({r.letters for r in ranked}) == 30


def test_one_process_is_tied_with_all_and_flagged():
    """A configuration of one process has no spread of its own, however far it lies."""
    ranked = rank([*groups(0, 1), [50.0]])
    assert (ranked[2].best, ranked[2].worst, ranked[2].flags) == (1, 3, ("within-run only",))
    assert [(r.best, r.worst) for r in ranked[:2]] == [(1, 2), (2, 3)]
    alone = rank([[1.0]])
    assert (alone[0].best, alone[0].worst, alone[0].letters) == (1, 1, "a")


def test_constant_groups_are_flagged():
    """Equal means of processes say nothing of chance; what is ordered by them says so."""
    ranked = rank([[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]])
    assert [r.flags for r in ranked] == [("no spread",)] * 3
    assert [(r.best, r.worst) for r in ranked] == [(1, 1), (2, 3), (2, 3)]


@pytest.mark.parametrize("bad", [[], [[]], [[1.0, math.nan]], [[1.0, 0.0]], [[1.0, -2.0]]])
def test_bad_means_are_refused(bad):
    """No configuration, none of its processes, or a value without a logarithm."""
    with pytest.raises(StatsError):
        rank(bad)
