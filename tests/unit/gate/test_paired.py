"""One metric over pairs: which of them count, and when there are enough."""

from __future__ import annotations

import pytest

from harness.gate.paired import cannot_conclude, is_settled, paired_comparison, paired_values
from harness.records.schema import Record
from harness.records.store import Store

METRIC = "iteration.mean"


@pytest.fixture
def sides(store: Store, add_night):
    """Return a function that makes the records of base and head from two lists of values."""

    def make(base: list[float | None], head: list[float | None]) -> tuple[list[Record], list[Record]]:
        for name, values in (("base", base), ("head", head)):
            for replica, value in enumerate(values):
                add_night(0, value, sweep=f"pairs-{name}", replica=replica)
        return store.records("pairs-base")[0], store.records("pairs-head")[0]

    return make


def test_pairs_stay_pairs_where_one_process_has_no_value(sides) -> None:
    """A process without a value takes its partner out, and no other pair is shifted by it."""
    values = [float(1 + i) for i in range(8)]
    both = sides(values, [None if i == 3 else 1.1 * v for i, v in enumerate(values)])
    found = paired_comparison(*both, METRIC, 0.01)
    assert (found.pairs, found.label) == (7, "worse")
    assert found.effect == pytest.approx(0.1)
    assert paired_comparison(*both, METRIC, 0.01, "higher").label == "better"


@pytest.mark.parametrize(
    ("pairs", "settled"), [(5, False), (6, True), (7, False), (9, False), (10, True), (24, True)]
)
def test_pairs_are_looked_at_as_planned(sides, pairs: int, settled: bool) -> None:
    """A clear difference ends them at 6, 10, 16 and 24 pairs, and nowhere between."""
    both = sides([1.0 + i / 1e4 for i in range(pairs)], [1.1] * pairs)
    assert is_settled(*both, METRIC, 0.01) is settled


def test_an_open_question_goes_on_to_the_last_look(sides) -> None:
    """Noise without a verdict settles nothing at ten pairs, and ends all the same at twenty-four."""
    noisy = [1.0 + 0.3 * (-1) ** i for i in range(24)]
    base, head = sides([1.0 + i / 1e4 for i in range(24)], noisy)
    assert not is_settled(base[:10], head[:10], METRIC, 0.01)
    assert is_settled(base, head, METRIC, 0.01)


@pytest.mark.parametrize(("with_value", "without_hope"), [(0, True), (2, True), (3, False), (5, False)])
def test_a_metric_that_most_pairs_lack_ends_at_the_first_look(
    sides, with_value: int, without_hope: bool
) -> None:
    """Half of six pairs must have it; before the sixth nothing is said."""
    values = [1.0 + i / 1e4 if i < with_value else None for i in range(6)]
    both = sides(values, values)
    assert cannot_conclude(*both, METRIC) is without_hope
    assert is_settled(*both, METRIC, 0.01) is without_hope
    assert (paired_comparison(*both, METRIC, 0.01) is None) is without_hope
    assert not cannot_conclude(*(side[:5] for side in both), METRIC)
    assert len(paired_values(*both, METRIC)) == with_value
