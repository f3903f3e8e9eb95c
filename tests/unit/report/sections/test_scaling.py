"""Efficiency over ranks: known answers, only among trials that differ in their ranks alone."""

from __future__ import annotations

import pytest

from harness.report.sections.scaling import efficiency, scaling_section
from harness.report.trials import trials


def scaled(make_trial, make_estimate, ranks, tokens, *, name="ddp", scaling="strong", batch=8, **more):
    """One trial of so many ranks and tokens per second."""
    config = {
        "seed": 0,
        "workload": {"name": "gpt", "mode": "train", "size": "tiny", "batch": batch},
        "precision": {"name": "fp32"},
        "device": {"kind": "cpu", "index": 0, "threads": 1},
        "parallel": {"name": name, "ranks": ranks, "scaling": scaling, "settings": {}},
    }
    return make_trial(
        "gpt", "train", "fp32", make_estimate("throughput.tokens", tokens, 0.02),
        config=config, label=f"gpt tiny train fp32 {name} x{ranks}", identity=(name, ranks, scaling, batch),
        **more,
    )  # fmt: skip


def test_efficiency_is_the_throughput_of_n_over_n_times_that_of_one():
    """180 over 100 tokens per second on 2 ranks is 90 %, with an interval around it; alone there is none."""
    value, low, high = efficiency([98.0, 100.0, 102.0], [176.4, 180.0, 183.6], 2)
    assert value == pytest.approx(0.9)
    assert low < 0.9 < high
    assert efficiency([100.0], [320.0], 4) == (pytest.approx(0.8), None, None)


def test_each_number_of_ranks_stands_beside_one_rank(make_trial, make_estimate):
    """One row for each, in the order of ranks: one has nothing to be held against."""
    results = [scaled(make_trial, make_estimate, n, t) for n, t in ((4, 300.0), (1, 100.0), (2, 180.0))]
    (table,) = scaling_section(trials(results)).blocks
    assert [c.title for c in table.columns][-4:] == ["Scaling", "Ranks", "Throughput", "Efficiency"]
    assert [(row.cells[-3].text, row.cells[-1].order) for row in table.rows] == [
        ("1", None), ("2", pytest.approx(0.9)), ("4", pytest.approx(0.75))
    ]  # fmt: skip


@pytest.mark.parametrize("other", [{"name": "fsdp"}, {"scaling": "weak"}, {"batch": 4}, {"sweep": "another"}])
def test_trials_that_differ_in_more_than_ranks_are_not_held_against_each_other(
    make_trial, make_estimate, other
):
    """Another strategy, kind of scaling, batch or sweep has no efficiency against this one rank."""
    one = scaled(make_trial, make_estimate, 1, 100.0)
    assert scaling_section(trials([one, scaled(make_trial, make_estimate, 2, 180.0, **other)])).blocks == ()


def test_without_ranks_there_is_no_section(make_trial, make_estimate):
    """A report of trials of one rank says nothing of scaling."""
    alone = make_trial("gpt", "train", "fp32", make_estimate("throughput.tokens", 1.0, 0.01))
    assert scaling_section(trials([alone])).blocks == ()
