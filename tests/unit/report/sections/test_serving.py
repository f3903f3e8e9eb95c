"""The section on serving: a row for each load, and the curve of throughput against interactivity."""

from __future__ import annotations

import pytest

from harness.report.document import Front, Table
from harness.report.sections.serving import serving_section
from harness.report.trials import trials

LOADS = ((16, 100.0, 20.0), (1, 20.0, 90.0), (4, 60.0, 70.0), (8, 50.0, 40.0))
"""Users, tokens/s of all, tokens/s of one: four users beat eight in both."""


@pytest.fixture
def served(make_trial, make_estimate):
    """A closed loop at four loads."""

    def one(users, everybody, single):
        estimates = make_estimate("throughput.tokens", everybody), make_estimate("interactivity", single)
        made = make_trial("gpt", "serve", "fp32", *estimates, identity=str(users))
        made.config["serve"] = {"arrivals": "closed", "concurrency": users}
        return made

    return trials([one(*load) for load in LOADS])


def cells(section, title):
    """A column of the table."""
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    at = [column.title for column in table.columns].index(title)
    return [row.cells[at].text.replace("\u00a0", " ") for row in table.rows]


def test_every_load_has_a_row_in_the_order_of_the_load(served):
    """With its chance of being on the front."""
    section = serving_section(served)
    assert cells(section, "Load") == ["1 user", "4 users", "8 users", "16 users"]
    rates = [text.removesuffix(" tokens/s") for text in cells(section, "Throughput")]
    assert rates == ["20.0", "60.0", "50.0", "100.0"]
    assert [text.rstrip(" %") for text in cells(section, "Front")] == ["100", "100", "0", "100"]


def test_the_curve_draws_each_load(served):
    """Interactivity falls and throughput rises; the load that is beaten in both is off the front."""
    (curve,) = (block for block in serving_section(served).blocks if isinstance(block, Front))
    assert [(mark.x, mark.y) for mark in curve.marks] == [(90, 20), (70, 60), (40, 50), (20, 100)]
    assert [mark.chance for mark in curve.marks] == [1, 1, 0, 1]


def test_two_loads_are_a_table_without_a_curve(served):
    """And no load at all is no section."""
    assert not [block for block in serving_section(served[:2]).blocks if isinstance(block, Front)]
    assert serving_section([]).blocks == ()
