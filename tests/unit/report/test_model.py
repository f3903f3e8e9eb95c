"""The model says what the results say, and why something is not there."""

from __future__ import annotations

import pytest

from harness.report import build
from harness.report.document import Code, Paragraph, Plot, Table
from harness.report.sections.decision import Decision
from harness.report.sections.tables import NONE
from harness.report.trials import Trial, trials

WHEN = "2025-03-04T05:06:07Z"


def model(results, **more):
    """Build with fixed title and time."""
    return build(results, title="T", generated_at=WHEN, **more)


def section(found, section_id):
    """One section by id."""
    return next(s for s in found.sections if s.id == section_id)


def table(found, table_id):
    """One table's rows as text."""
    blocks = [b for s in found.sections for b in s.blocks if isinstance(b, Table) and b.id == table_id]
    return [[c.text for c in row.cells] for row in blocks[0].rows]


def words(found, section_id):
    """All text of a section's paragraphs."""
    return " ".join(b.text for b in section(found, section_id).blocks if isinstance(b, Paragraph))


def test_counts_and_sections(sweep):
    """The tiles and the first sentence count every trial once, and every promised section is there."""
    found = model(sweep, torn=["a/record.json: truncated"])
    assert [t.text for t in found.tiles] == ["25", "21", "3", "3", "1"]
    assert words(found, "verdict").startswith(
        "Of 25 trials, 21 gave a result, 3 failed (1 crashed, 1 hung and 1 oom) and 1 was refused. 1 record"
    )
    assert [s.id for s in found.sections] == [
        "answer", "verdict", "throughput", "gains", "energy", "latency", "memory", "compute", "roofline",
        "startup",
        "failed", "refused", "omissions", "instrument", "method", "machine", "software", "reproduce",
    ]  # fmt: skip


def test_the_sections_stand_in_the_order_of_a_decision(make_measured, make_trial, make_estimate):
    """Ranks, then machines beside each other, money, energy, scaling, quality, and what all rests on."""
    other = {"host_processor_model_name": "Other CPU"}
    rate, error = make_estimate("throughput.tokens", 90.0), make_estimate("quality.sqnr", 30.0, None)
    results = [
        make_measured("gpt", "train", "fp32", 100.0),
        make_measured("gpt", "train", "bf16", 120.0),
        make_measured("gpt", "train", "fp32", 150.0, machine=other),
        make_trial("gpt", "serve", "fp32", rate),
        make_trial("gpt", "infer", "int8", rate, error),
        *(make_trial("bert", "train", "fp32", rate, label=f"ddp {n}", identity=n) for n in (1, 2)),
    ]
    for result, ranks in zip(results[-2:], (1, 2), strict=True):
        result.config["parallel"] = {"name": "ddp", "ranks": ranks, "scaling": "strong"}
    key = (results[0].trial_id, results[0].machine_id)
    money = {
        "id": "cost.token", "title": "Cost", "unit": "EUR", "low": 1.0, "mid": 2.0, "high": 3.0,
        "terms": {"rent": 2.0}, "inputs": [], "notes": [], "sources": [], "stale": [], "reason": None,
    }  # fmt: skip
    why = {
        "a": "left", "b": "right", "ratio": 1.5, "low": None, "high": None, "factors": [], "differences": (),
        "missing": (), "energy": None,
    }  # fmt: skip
    found = model(results, costs={key: [money]}, decision=Decision(explanations=[why]))
    details = {"gains", "latency", "memory", "compute", "startup", "failed", "refused", "omissions"}
    assert [s.id for s in found.sections if s.id not in details] == [
        "answer", "verdict", "throughput", "serving", "machines", "cost", "energy", "scaling", "quality",
        "roofline", "why", "instrument", "method", "machine", "software", "reproduce",
    ]  # fmt: skip


def test_building_is_pure(sweep):
    """The same results give an equal model."""
    assert model(sweep) == model(sweep)


def test_the_order_of_records_does_not_matter(sweep):
    """However the store lists the trials, the report is the same."""
    assert model(sweep[::-1]) == model(sweep)


def test_a_trial_counts_as_flagged_by_the_throughput_that_it_is_ranked_by(make_trial, make_estimate):
    """A flagged percentile beside a valid throughput would make nearly every trial one."""
    results = [
        make_trial(
            "gpt", "train", precision,
            make_estimate("throughput.tokens", 100.0, validity=rate),
            make_estimate("latency.p90", 0.1, validity=tail),
            identity=precision,
        )
        for precision, rate, tail in (("fp32", "valid", "flagged"), ("bf16", "flagged", "valid"))
    ]  # fmt: skip
    tiles = {tile.term: tile.text for tile in model(results).tiles}
    assert (tiles["ok"], tiles["of them flagged"]) == ("2", "1")


def test_no_trial_is_looked_for_among_all_others(make_trial, make_estimate, monkeypatch):
    """Of 10,000 trials that would be as many comparisons squared."""
    rate, peak = make_estimate("throughput.tokens", 9.0), make_estimate("memory.peak_allocated", 1e9)
    modes = ("train", "infer", "serve")
    results = [make_trial("gpt", mode, "fp32", rate, peak, identity=n) for mode in modes for n in range(3)]
    monkeypatch.setattr(Trial, "__eq__", lambda *_: pytest.fail("compared"))
    assert table(model(results), "memory-table")


def test_rows_stand_in_the_order_of_their_numbers(make_trial, make_estimate):
    """A batch of 4 comes before one of 16, wherever rows are not ranked."""
    rate = make_estimate("throughput.tokens", 100.0)
    labels = [f"gpt tiny train fp32 batch={n}" for n in (16, 4, 128, 64)]
    named = trials([make_trial("gpt", "train", "fp32", rate, label=x, identity=x) for x in labels])
    assert [t.config for t in named] == [f"fp32 batch={n}" for n in (4, 16, 64, 128)]


def test_energy_is_unavailable_with_the_records_own_reason(sweep):
    """Without a sensor the report says so literally, with the reason of the metrics."""
    said = "energy: unavailable (no sensor: this virtual machine shows neither RAPL nor NVML)"
    assert said in words(model(sweep), "verdict")
    assert said in words(model(sweep), "energy")
    assert not [b for b in section(model(sweep), "energy").blocks if isinstance(b, Table | Plot)]


def test_energy_that_was_measured_is_shown(make_trial, make_estimate):
    """Where one trial has energy the table and the sentence tell which have it."""
    results = [
        make_trial(
            "gpt", "train", "a", make_estimate("throughput.tokens", 9.0), make_estimate("energy.token", 0.012)
        ),
        make_trial("gpt", "train", "b", make_estimate("throughput.tokens", 8.0)),
    ]
    found = model(results)
    assert "energy: measured in 1 of 2 trials, unavailable in the others (not measured)" in words(
        found, "energy"
    )
    assert table(found, "energy-table") == [["gpt tiny", "train", "a", "12.00\u00a0mJ"]]


def test_failures_keep_phase_signal_reason_and_log(sweep):
    """Every failed trial is a row with its phase, what ended it and why; its log's end is there."""
    found = model(sweep)
    rows = table(found, "failed-table")
    assert [
        "bert tiny",
        "train",
        "bf16",
        "oom",
        "measure",
        "SIGKILL",
        "killed by the memory limit of 1 GiB",
    ] in rows
    assert ["mlp tiny", "train", "bf16", "crashed", "build", "exit 1", "ValueError: no such layer"] in rows
    assert len(rows) == 3
    logs = [b.text for b in section(found, "failed").blocks if isinstance(b, Code)]
    assert any("allocating 8 GiB" in log for log in logs)
    assert table(found, "attempts-table") == [
        ["lstm tiny", "train", "fp32", "crashed", "measure", "SIGKILL", "lost to an unlucky signal"]
    ]


def test_refused_trials_are_not_failures(sweep):
    """A refused trial stands apart, with the plan's reason."""
    assert table(model(sweep), "refused-table") == [
        ["resnet tiny", "train", "tf32", "tf32 needs a CUDA device"]
    ]


def test_an_invalid_value_is_shown_nowhere(sweep):
    """An invalid throughput has no number, no rank and no dot, and its reason is explained."""
    found = model(sweep)
    row = next(r for r in table(found, "ranked") if r[1:4] == ["gpt tiny", "infer", "fp32"])
    assert row[0] == NONE
    assert row[4] == "invalid"
    shown = [
        c.text
        for s in found.sections
        for b in s.blocks
        if isinstance(b, Table)
        for r in b.rows
        for c in r.cells
    ]
    drawn = [r.text for s in found.sections for b in s.blocks if isinstance(b, Plot) for r in b.rows]
    assert not [text for text in (*shown, *drawn) if text.startswith("777")]
    assert any(
        r[1] == "output_wrong: The outputs failed their check." for r in table(found, "omissions-table")
    )


def test_missing_values_are_dashes_and_never_zero(sweep):
    """A metric that a trial lacks is a dash in its cell and a reason among the omissions."""
    found = model(sweep)
    header = [c.title for b in section(found, "latency").blocks if isinstance(b, Table) for c in b.columns]
    at = header.index("Time to first token")
    assert {r[at] for r in table(found, "latency-table") if r[1] != "generate"} == {NONE}
    assert "Latency p99" not in header
    assert any("too few effective samples" in r[1] for r in table(found, "omissions-table"))


def test_reasons_that_differ_in_numbers_are_one_row(make_trial, make_estimate):
    """A hundred trials with too few samples, each with its own count, make one line."""
    results = [
        make_trial(
            "gpt", "train", f"p{n}", make_estimate("throughput.tokens", 9.0),
            make_estimate("latency.p99", None, validity="unavailable", reasons=(f"{n} of 368 samples",)),
        )
        for n in range(100)
    ]  # fmt: skip
    rows = table(model(results), "omissions-table")
    assert rows == [
        [
            "unavailable",
            "0 of 368 samples (numbers differ)",
            "Latency p99",
            "100",
            "all with a result",
        ]
    ]


def test_machines_and_sweeps_are_told_apart(make_measured):
    """Two machines and sweeps are named on every row, ranked together, and described side by side."""
    results = [
        make_measured(
            "gpt", "train", "fp32", 100.0, sweep="one", machine={"host_processor_model_name": "first"}
        ),
        make_measured(
            "gpt", "train", "fp32", 200.0, sweep="two", machine={"host_processor_model_name": "second"}
        ),
    ]
    found = model(results)
    assert [(r[0], r[4]) for r in table(found, "ranked")] == [
        ("1 of 2", "second · two"),
        ("2 of 2", "first · one"),
    ]
    assert ["host_processor_model_name", "first", "second"] in table(found, "machine-0")
    assert found.subtitle == "2 sweeps (one and two) on 2 machines"


def test_metrics_of_other_packages_are_not_dropped(make_trial, make_estimate):
    """A metric that no table knows has a table of its own."""
    foreign = make_estimate("iteration.mean", 2.0, None)._replace(
        metric_id="acme.wear", title="Wear", unit="J"
    )
    found = model([make_trial("gpt", "train", "a", make_estimate("throughput.tokens", 9.0), foreign)])
    assert table(found, "other-table") == [["gpt tiny", "train", "a", "2.00\u00a0J"]]


def test_quality_stands_beside_speed(make_trial, make_estimate):
    """Where one trial's error is known its group is shown, the reference with its own throughput."""
    fast = [make_estimate("throughput.tokens", 200.0), make_estimate("quality.agreement", 0.97, None)]
    results = [
        make_trial("gpt", "decode", "bf16", *fast),
        make_trial("gpt", "decode", "fp32", make_estimate("throughput.tokens", 100.0)),
        make_trial("mlp", "train", "fp32", make_estimate("throughput.samples", 5.0)),
        make_trial("mlp", "train", "fp32 lora", make_estimate("quality.sqnr", None, None)),
    ]
    rows = table(model(results), "quality-table")
    assert [row[:3] for row in rows] == [["gpt tiny", "decode", "bf16"], ["gpt tiny", "decode", "fp32"]]
    assert [row[-1] for row in rows] == ["97.0\u00a0%", NONE]
    assert "quality" not in [s.id for s in model(results[2:]).sections]


def test_an_estimated_value_says_so(make_trial, make_estimate):
    """What was modelled is never shown as measured."""
    guess = make_estimate("energy.token", 0.5, None)._replace(provenance="estimated")
    found = model([make_trial("gpt", "train", "a", make_estimate("throughput.tokens", 9.0), guess)])
    assert table(found, "energy-table")[0][-1] == "500\u00a0mJ (estimated)"


def test_nothing_to_report(make_trial):
    """No trial, or none with a result, still makes a report that says so."""
    assert words(model([]), "verdict").startswith("There is no trial to report on.")
    only_failed = model([make_trial(status="hung", phase="start", reason="no answer")])
    assert "No trial has a result." in words(only_failed, "throughput")
    assert "energy: unavailable (no trial has a result)" in words(only_failed, "verdict")


def test_figures_are_limited_and_say_what_they_leave_out(make_measured):
    """A workload with many trials is drawn up to a limit; the caption counts the rest, the table has all."""
    results = [
        make_measured("gpt", mode, "fp32", 100.0 + i, label=f"gpt tiny {mode} fp32 b{i}", identity=i)
        for i in range(40)
        for mode in ("train", "infer")
    ]
    found = model(results)
    plot = next(b for b in section(found, "throughput").blocks if isinstance(b, Plot))
    assert len(plot.rows) == 24
    assert "56 trials of 80 left out here" in plot.caption
    assert {r.label.split()[0] for r in plot.rows} == {"train", "infer"}
    assert plot.rows[0].label == "train fp32 b39"
    assert len(table(found, "ranked")) == 80
