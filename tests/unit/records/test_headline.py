"""Which metric stands for a configuration, from records that have it, lack it, or have it in part."""

from __future__ import annotations

import pytest

from harness.records.headline import CLEAN, RAW, item_kind, iteration_metric


@pytest.mark.parametrize(
    ("clean", "metric"),
    [
        ([1.0, 1.0], CLEAN),
        ([1.0, None], CLEAN),
        ([1.0, None, None], RAW),
        ([None], RAW),
        ([], RAW),
    ],
)
def test_the_undisturbed_mean_counts_where_half_of_the_processes_have_it(make_record, clean, metric):
    """A record that lacks the metric altogether has none either."""
    records = [make_record({CLEAN: value, RAW: 2.0}) for value in clean]
    assert iteration_metric(records) == metric
    assert iteration_metric([make_record({RAW: 1.0})]) == RAW


def test_the_kind_of_item_is_one_that_all_have(make_record):
    """Tokens before samples; what only one of them counts compares nothing."""
    both = make_record({"throughput.tokens": 2.0, "throughput.samples": 1.0})
    samples = make_record({"throughput.samples": 1.0, "throughput.tokens": None})
    assert item_kind([both, both]) == "tokens"
    assert item_kind([both, samples]) == "samples"
    assert item_kind([samples, make_record({"throughput.requests": 1.0})]) is None
    assert item_kind([]) is None
