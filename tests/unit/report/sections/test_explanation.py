"""Why one side is faster and why it is thriftier, in words and tables."""

from __future__ import annotations

from harness.report.document import Paragraph, Table
from harness.report.sections.explanation import explanation_blocks


def factor(name, value):
    """A factor without an interval."""
    return {"name": name, "value": value, "low": None, "high": None, "evidence": "planted"}


def test_energy_has_its_own_words_and_table():
    """Eight times the energy, a third of it power, with the factors; nothing where energy is unknown."""
    found = {
        "a": "left", "b": "right", "ratio": 4.0, "low": None, "high": None, "factors": [factor("clock", 4.0)],
        "differences": (), "missing": (),
        "energy": {"metric": "energy.token", "ratio": 8.0, "low": 7.0, "high": 9.0, "power_share": 1 / 3,
                   "factors": [factor("time", 4.0), factor("power", 2.0)]},
    }  # fmt: skip
    blocks = explanation_blocks(found)
    texts = [b.text for b in blocks if isinstance(b, Paragraph)]
    assert texts[1].startswith("For each token B takes 8.0\u00d7")
    assert texts[1].endswith("33% of that is power and 67% is time, by their logarithms.")
    tables = [b for b in blocks if isinstance(b, Table)]
    assert [t.title for t in tables] == ["Why left is faster", "Why left is thriftier"]
    assert [r.cells[0].text for r in tables[1].rows] == ["time", "power"]
    assert len(explanation_blocks(found | {"energy": None})) == 2
