"""The answer at a glance, machines side by side, and machines' names and colours."""

from __future__ import annotations

import pytest

from harness.report.model import build
from harness.report.sections.decision import Decision
from harness.report.sections.overview import overview_table
from harness.report.sections.question import AskedLimits
from harness.report.sections.speed import SpeedTest
from harness.report.trials import groups, headline, trials

LEFT, RIGHT = ({"host_processor_model_name": name} for name in ("First CPU", "Second CPU"))


def rows(table):
    """Rows by their columns' titles."""
    return [{c.title: cell.text for c, cell in zip(table.columns, r.cells, strict=True)} for r in table.rows]


def with_tests(results):
    """Each group with its test, as the report makes them."""
    return [(members, SpeedTest(members, headline(members))) for members in groups(trials(results)).values()]


def glance(results, limits=None, chances=None):
    """The overview's rows."""
    return rows(overview_table(with_tests(results), AskedLimits(limits), chances or {}, {}))


def test_the_best_stands_with_its_lead_and_probability(make_measured):
    """Twice as fast is best, by two, with the probability that was worked out."""
    results = [make_measured("gpt", "train", "fp32", 100.0), make_measured("gpt", "train", "bf16", 200.0)]
    key = (results[1].trial_id, results[1].machine_id)
    (row,) = glance(results, chances={key: 0.97})
    assert (row["Best configuration"], row["Verdict"]) == ("bf16", "best")
    assert row["Lead"].startswith("2.0")
    assert row["Probability"] == "97\u00a0%"


@pytest.fixture
def searched(make_trial, make_estimate):
    """Runs of open loops: of a precision and a rate, the share of the requests that kept their limits."""

    def one(precision, rate, share, seed=0):
        found = make_estimate("throughput.tokens", 10.0 * rate), make_estimate("goodput.share", share)
        made = make_trial("gpt", "serve", precision, *found, identity=f"{rate} {seed}")
        made.config["serve"] = {"arrivals": "poisson", "rate_per_s": rate, "good_share": 0.9}
        made.config["seed"] = seed
        return made

    return lambda *runs: [one(*run) for run in runs]


def test_the_rates_of_a_search_are_not_ranked_against_each_other(searched):
    """The most was offered at a rate that misses the limits: the search's outcome stands there instead."""
    results = searched(
        ("fp32", 2.0, 1.0), ("fp32", 8.0, 0.2), ("fp32", 4.0, 1.0), ("fp32", 4.0, 0.84, 1),
        ("bf16", 2.0, 0.5), ("bf16", 4.0, 0.1),
    )  # fmt: skip
    low, high = glance(results, chances={(r.trial_id, r.machine_id): 0.5 for r in results})
    assert (low["Work"], low["Verdict"]) == (
        "gpt tiny serve",
        "no rate down to 2 requests/s keeps the limits",
    )
    assert high["Verdict"] == "4 requests/s is the highest rate that keeps the limits, 8 misses them"
    assert {"Lead", "Probability", "Throughput"}.isdisjoint(low)
    (winners,) = (
        b for b in build(results, title="T", generated_at="").sections[1].blocks if b.kind == "items"
    )
    assert [item.text for item in winners.items] == [f"{high['Verdict']}; {low['Verdict']}."]
    (throughput,) = (s for s in build(results, title="T", generated_at="").sections if s.id == "throughput")
    (outcomes,) = throughput.blocks  # no table of ranks, no figure
    assert [item.text for item in outcomes.items] == [f"{high['Verdict']}.", f"{low['Verdict']}."]


def test_what_is_no_search_is_ranked_beside_one(searched, make_measured):
    """Without the rates; of one rate, or where all keep the limits, nothing more is said than is known."""
    closed = [make_measured("gpt", "serve", "int8", rate, identity=rate) for rate in (100.0, 200.0)]
    found = glance([*searched(("fp32", 2.0, 1.0), ("fp32", 4.0, 0.9)), *closed])
    assert [row["Verdict"] for row in found] == ["4 requests/s keep the limits, and so may more", "best"]
    results = [*searched(("fp32", 2.0, 1.0), ("fp32", 4.0, 0.9)), *closed]
    model = build(results, title="T", generated_at="")
    table = next(b for s in model.sections for b in s.blocks if getattr(b, "id", "") == "ranked")
    assert [row["Rank"] for row in rows(table)] == ["1 of 2", "2 of 2"]
    assert [row["Verdict"] for row in glance(searched(("fp32", 2.0, 1.0)))] == ["the only one"]


def test_ties_are_ties(make_measured):
    """Two that the replicas do not distinguish are tied, whichever value is the higher."""
    results = [
        make_measured("gpt", "train", "fp32", 100.0, 0.05),
        make_measured("gpt", "train", "bf16", 101.0, 0.05),
    ]
    (row,) = glance(results)
    assert row["Verdict"] == "tied with 1"


def test_only_what_keeps_the_limits_is_a_candidate(make_measured):
    """What breaks a limit is no best; where nothing keeps it, that is said."""
    results = [make_measured("gpt", "train", "fp32", 100.0), make_measured("gpt", "train", "bf16", 200.0)]
    (row,) = glance(results, {"throughput.tokens": 150.0})
    assert row["Best configuration"] == "bf16"
    (row,) = glance(results, {"latency.p50": 0.4})
    assert row["Best configuration"] == "bf16"  # 64 tokens at 100/s take 0.62 s
    (row,) = glance(results, {"latency.p50": 0.01})
    assert row["Best configuration"] == "none keeps the limits"


def test_limits_asked_now_stand_before_those_of_the_records(make_measured):
    """What-if is asked when the report is drawn, and no trial is measured again."""
    results = [make_measured("gpt", "train", "fp32", 100.0)]
    found = build(
        results, title="x", generated_at="2026-01-01T00:00:00Z",
        decision=Decision(limits=AskedLimits({"latency.p50": 0.01})),
    )  # fmt: skip
    table = next(b for s in found.sections for b in s.blocks if getattr(b, "id", "") == "limits")
    assert rows(table)[0]["Verdict"] == "broken"


@pytest.mark.parametrize("order", [1, -1])
def test_machines_have_names_and_one_colour_throughout(make_measured, order):
    """The name stands on rows and in figures; the colour goes by the name, in whatever order records come."""
    results = [
        make_measured("gpt", "train", "fp32", 100.0, machine=LEFT),
        make_measured("gpt", "train", "fp32", 150.0, machine=RIGHT),
    ][::order]
    found = build(results, title="x", generated_at="2026-01-01T00:00:00Z")
    plot = next(b for s in found.sections for b in s.blocks if b.kind == "plot" and s.id == "throughput")
    assert plot.machines == ("First CPU", "Second CPU")
    assert {(r.label.split(" ")[-2], p.machine) for r in plot.rows for p in r.points} == {
        ("First", 0),
        ("Second", 1),
    }
    table = next(b for s in found.sections for b in s.blocks if getattr(b, "id", "") == "machines-table")
    (row,) = rows(table)
    assert row["Second CPU: throughput"].startswith("1.5")
