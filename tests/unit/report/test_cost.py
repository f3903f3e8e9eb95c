"""The section on money and carbon."""

from harness.records.numbers import EN_DASH
from harness.report.sections.cost import cost_key, cost_section
from harness.report.sections.tables import NONE
from harness.report.trials import trials


def figure(**more):
    """A figure as `harness.cost` gives it."""
    plain = {
        "id": "cost.token", "title": "Cost of a million tokens", "unit": "EUR", "low": 1.0, "mid": 2.0,
        "high": 3.0, "terms": {"rent": 0.5, "energy": 1.5}, "inputs": [], "notes": [], "sources": [],
        "stale": [], "reason": None,
    }  # fmt: skip
    return plain | more


def test_a_cost_shows_its_parts_and_the_prices_behind_it(make_measured):
    """Largest part first; each price with its source; one trial's missing price leaves the others."""
    named = trials(
        [make_measured("gpt", "train", "fp32", 1000.0), make_measured("gpt", "train", "bf16", 1.0)]
    )
    price = {
        "name": "per_kwh", "key": "site", "unit": "EUR/kWh", "low": 0.1, "mid": 0.2, "high": 0.3,
        "source": "our contract", "origin": "site", "date": "2025-01-01",
    }  # fmt: skip
    one, other = (cost_key(t.result) for t in named)
    missing = figure(id="cost", mid=None, low=None, high=None, terms=None, reason="no price of 'X'")
    section = cost_section(named, {one: [figure(inputs=[price], stale=["old"])], other: [missing]})
    _, table, items, inputs = section.blocks
    assert [c.text for c in table.rows[0].cells][-3:] == [
        "2.0\u00a0EUR",
        "energy 75.0\u00a0%, rent 25.0\u00a0%",
        NONE,
    ]
    assert table.rows[0].cells[-3].detail == f"1.0{EN_DASH}3.0"
    assert table.rows[1].cells[-3].mark == "unavailable"
    assert [(i.term, i.text) for i in items.items] == [("stale", "old"), ("unavailable", "no price of 'X'")]
    assert inputs.rows[0].cells[-1].text == "our contract (2025-01-01)"
