"""The figure of the first page: what is on the front is so by the two objectives that are drawn."""

from __future__ import annotations

import pytest

from harness.report.sections.cost import cost_key
from harness.report.sections.front import front_figure
from harness.report.trials import trials


@pytest.fixture
def members(make_trial, make_estimate):
    """By energy and speed: the first wins both; by energy and cost, the second is the cheapest."""
    planted = (("fp32", 1e-3, 300.0), ("bf16", 2e-3, 200.0), ("fp16", 3e-3, 100.0))
    return trials(
        [
            make_trial(
                "gpt",
                "train",
                name,
                make_estimate("energy.token", joules),
                make_estimate("throughput.tokens", rate),
            )
            for name, joules, rate in planted
        ]
    )


def test_without_prices_the_front_is_of_energy_and_throughput(members):
    """The one that is best in both is alone on it."""
    figure = front_figure(members, {})
    assert figure is not None
    assert {m.label.split(",")[0]: m.chance for m in figure.marks} == {"fp32": 1.0, "bf16": 0.0, "fp16": 0.0}
    assert figure.higher


def test_with_prices_the_front_is_of_energy_and_cost(members):
    """A slower machine that costs less is on it; one that is worse in both is not."""
    money = {"fp32": 3.0, "bf16": 1.0, "fp16": 2.0}
    costs = {
        cost_key(t.result): [{"id": "cost.token", "mid": money[t.config], "unit": "EUR"}] for t in members
    }
    figure = front_figure(members, costs)
    assert figure is not None
    assert {m.label.split(",")[0]: m.chance for m in figure.marks} == {"fp32": 1.0, "bf16": 1.0, "fp16": 0.0}
    assert [m.y for m in figure.marks] == pytest.approx([money[m.label.split(",")[0]] for m in figure.marks])
    assert not figure.higher
