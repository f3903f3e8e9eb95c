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


def test_trials_under_loadgen_have_a_table_of_their_own(served, make_trial, make_estimate):
    """With the verdict, MLPerf's figure, and how many percentiles agree; they are no load of the curve."""
    made = make_trial("gpt", "serve", "bf16", make_estimate("mlperf.samples", 26.0), identity="lg")
    made.config["serve"] = {"loadgen": "server"}
    for record in made.replicas():
        record.evidence["loadgen"] = {
            "valid": True,
            "percentiles_s": {"latency.ttft.p50": [1.0, 1.1], "latency.e2e.p50": [2.0, 2.0]},
            "disagree": ["latency.ttft.p50"],
        }
    section = serving_section([*served, *trials([made])])
    load, driven = (block for block in section.blocks if isinstance(block, Table))
    assert len(load.rows) == len(LOADS)
    (row,) = driven.rows
    shown = dict(zip([column.title for column in driven.columns], row.cells, strict=True))
    assert (shown["Scenario"].text, shown["Verdict"].text) == ("server", "valid")
    assert shown["MLPerf samples"].text.replace("\u00a0", " ") == "26.0 samples/s"
    replicas = len(made.replicas())
    assert shown["Percentiles"].text == f"{replicas} of {2 * replicas}"
    (only,) = serving_section(trials([made])).blocks
    assert only.id == "loadgen-table"


ONE, TWO = "http://a", ["http://a", "http://b"]


@pytest.mark.parametrize(
    ("workload", "alone", "both"),
    [
        ("endpoint", {"workload": {"url": ONE, "model": "m"}}, {"workload": {"url": TWO, "model": "m"}}),
        ("gpt", {}, {"serve": {"engines": 2}}),
        ("gpt", {"serve": {"engines": 1}}, {"serve": {"engines": 2}}),
    ],
)
def test_what_balancing_buys_is_beside_one_server(make_trial, make_estimate, workload, alone, both):
    """Two servers or engines under the same load: ratios, shares of each, and a figure of both."""

    def one(given, rate, first_s, shares=()):
        estimates = make_estimate("throughput.tokens", rate), make_estimate("latency.ttft.p90", first_s)
        made = make_trial(workload, "serve", "fp32", *estimates, identity=str(rate))
        made.config["workload"] |= given.get("workload", {})
        load = {"arrivals": "closed", "concurrency": 8, "balance": "round_robin"}
        made.config["serve"] = load | given.get("serve", {})
        for record in made.replicas():
            if shares:
                record.evidence["balance"] = {"servers": [{"requests": n} for n in shares]}
        return made

    made = trials([one(alone, 100.0, 0.4), one(both, 180.0, 0.3, (30, 10))])
    _, table, *figures = serving_section(made).blocks
    (row,) = table.rows
    shown = dict(zip([column.title for column in table.columns], row.cells, strict=True))
    assert shown["Throughput over one"].text == "1.80"
    assert shown["TTFT p90 over one"].text == "0.75"
    assert [text.rstrip(" %\u00a0") for text in shown["Requests"].text.split(", ")] == ["75", "25"]
    assert (shown["Servers"].text, shown["Policy"].text) == ("2", "round_robin")
    assert [len(figure.rows) for figure in figures] == [2, 2]


def test_without_a_trial_of_one_server_there_is_no_ratio(make_trial, make_estimate):
    """And of one server there is no table."""
    made = make_trial("endpoint", "serve", "fp32", make_estimate("throughput.tokens", 9.0), identity="x")
    made.config["workload"] |= {"url": ["http://a", "http://b"]}
    table = serving_section(trials([made])).blocks[1]
    assert table.rows[0].cells[-1].text == table.rows[0].cells[-2].text == "\u2013"
    made.config["workload"] |= {"url": "http://a"}
    assert len(serving_section(trials([made])).blocks) == 1


def test_a_search_has_a_row_for_each_rate(make_trial, make_estimate):
    """Runs of one rate differ in their seed alone: their mean share is held against what was wanted."""

    def one(rate, seed, share, validity="valid"):
        made = make_trial(
            "gpt", "serve", "fp32", make_estimate("goodput.share", share, validity=validity),
            identity=f"{rate} {seed}",
        )  # fmt: skip
        made.config["serve"] = {"arrivals": "poisson", "rate_per_s": rate, "good_share": 0.9}
        made.config["seed"] = seed
        return made

    runs = [(4.0, 0, 0.7), (2.0, 0, 1.0), (2.0, 1, 0.9), (4.0, 1, 1.0), (4.0, 2, 0.01, "invalid")]
    table = serving_section(trials([one(*run) for run in runs])).blocks[-1]
    shown = [[cell.text.replace("\u00a0", " ") for cell in row.cells[2:]] for row in table.rows]
    assert [(row[0], row[2].split()[0], row[-1]) for row in shown] == [
        ("2", "95", "met"),
        ("4", "85", "missed"),
    ]
    (single,) = serving_section(trials([one(2.0, 0, 1.0)])).blocks
    assert single.id == "serving-table"
