"""What each change buys: ratios to the plain trial of the same work, with known answers."""

from __future__ import annotations

import pytest
import yaml

from harness.config.folder import config_folder
from harness.report.sections.gains import PLAIN, gains_section
from harness.report.sections.ranking import rank
from harness.report.sections.verdict import winner
from harness.report.trials import trials

NO_ENERGY = "energy: unavailable (no sensor)"
VALUES = {
    path.stem: yaml.safe_load(path.read_text()) for path in (config_folder() / "optimize").glob("*.yaml")
}


def of(make_trial, make_estimate, step_s, *, optimize="eager", precision="fp32", rss=100.0, extra=(), **more):
    """One trial with so long an iteration; 64 tokens each."""
    changed = {key: more.pop(key) for key in ("compress", "seed", "keys", "accumulate") if key in more}
    config = {
        "seed": changed.get("seed", 0),
        "workload": {
            "name": "gpt",
            "mode": "train",
            "size": "tiny",
            "accumulate": changed.get("accumulate", 1),
        },
        "precision": {"name": precision},
        "compress": {"name": changed.get("compress", "none"), "settings": {}},
        "optimize": VALUES[optimize] | changed.get("keys", {}),
        "parallel": {"name": "none", "ranks": 1},
        "device": {"kind": "cpu", "index": 0, "threads": 1},
    }
    words = [
        f"gpt tiny train {precision}",
        *(w for w in (optimize,) if w != "eager"),
        *map(str, changed.values()),
    ]
    return make_trial(
        "gpt", "train", precision,
        make_estimate("throughput.tokens", 64 / step_s, 0.02),
        make_estimate("iteration.mean", step_s, 0.02),
        make_estimate("memory.peak_rss", rss, None),
        make_estimate("time.first_iteration", 9.0, 0.1),
        *extra,
        config=config, label=" ".join(words), identity=(precision, optimize, str(changed)), **more,
    )  # fmt: skip


def plainly(text: str) -> str:
    """Return text in ASCII."""
    return text.translate({0xD7: "x", 0x2013: "-"})


def rows(*results) -> list[dict[str, str]]:
    """Return the table's rows by their columns' titles; none where there is no table."""
    return [
        {c.title: plainly(cell.text) for c, cell in zip(table.columns, row.cells, strict=True)}
        for table in gains_section(trials(results), NO_ENERGY).blocks
        for row in table.rows
    ]


@pytest.fixture
def made(make_trial, make_estimate):
    """The factory of trials with an iteration time."""
    return lambda *args, **more: of(make_trial, make_estimate, *args, **more)


def test_each_change_stands_below_its_baseline_fastest_first(made):
    """Half the time is twice the speed, with an interval around it; memory is a ratio too."""
    results = [made(2.0, optimize="checkpoint", rss=50.0), made(1.0), made(0.5, optimize="compile")]
    found = [[row[t] for t in ("Configuration", "Speed", "Verdict", "Peak memory")] for row in rows(*results)]
    assert found == [
        ["fp32", "-", "baseline", "-"],
        ["fp32 compile", "2.00x", "faster", "1.00x"],
        ["fp32 checkpoint", "0.500x", "slower", "0.500x"],
    ]
    (table,) = gains_section(trials(results), NO_ENERGY).blocks
    assert plainly(table.rows[1].cells[3].detail) == "1.96-2.04"
    assert [row.first for row in table.rows] == [True, False, False]


def test_without_energy_its_reason_is_said(made):
    """No empty column, and no silence."""
    (table,) = gains_section(trials([made(1.0), made(0.5, optimize="compile")]), NO_ENERGY).blocks
    assert "Energy" not in [c.title for c in table.columns]
    assert table.note.endswith("Energy: unavailable (no sensor).")


def test_energy_is_a_ratio_where_it_was_measured(made, make_estimate):
    """Half the energy a token is 0.5."""
    joules = [[make_estimate("energy.token", j, 0.01)] for j in (2.0, 1.0)]
    found = rows(made(1.0, extra=joules[0]), made(0.9, optimize="compile", extra=joules[1]))
    assert [row["Energy"] for row in found] == ["-", "0.500x"]


def test_precision_compression_and_accumulation_are_changes_too(made):
    """All stand beside the same plain trial, alone or together."""
    found = rows(
        made(1.0),
        made(0.8, precision="bf16"),
        made(0.4, precision="bf16", optimize="compile"),
        made(1.6, compress="svd"),
        made(2.0, accumulate=4),
        made(0.25, keys={"checkpoint": True}),
    )
    assert [row["Speed"] for row in found] == ["-", "4.00x", "2.50x", "1.250x", "0.625x", "0.500x"]


def test_of_several_changes_the_last_is_told_apart(made):
    """Compiling in bf16 is held against bf16, not against compiling in fp32."""
    results = [
        made(1.0),
        made(0.8, precision="bf16"),
        made(0.5, optimize="compile"),
        made(0.2, precision="bf16", optimize="compile"),
    ]
    found = {row["Configuration"]: row["Last change"] for row in rows(*results)}
    assert found == {"fp32": "-", "bf16": "-", "fp32 compile": "-", "bf16 compile": "4.00x"}
    (table,) = gains_section(trials(results), NO_ENERGY).blocks
    told = [row.cells[5].detail for row in table.rows if row.cells[5].detail]
    assert [plainly(text) for text in told] == ["3.92-4.09 over bf16"]


def test_a_set_key_is_a_change_whatever_the_name_says(made):
    """`optimize.checkpoint=true` beside `eager` is no baseline."""
    found = rows(made(1.0, keys={"checkpoint": True}), made(2.0))
    assert [row["Verdict"] for row in found] == ["baseline", "faster"]
    assert found[1]["Speed"] == "2.00x"


@pytest.mark.parametrize("other", [{"seed": 1}, {"sweep": "another"}])
def test_other_work_has_no_baseline_here(made, other):
    """Another seed or sweep is not held against this plain trial."""
    assert rows(made(1.0), made(0.5, optimize="compile", **other)) == []


def test_trials_whose_changes_do_not_contain_the_baselines_are_left_out(made):
    """Without a plain trial, compile at bf16 adds to bf16, and eager fp32 compile to neither."""
    found = rows(
        made(1.0, precision="bf16"),
        made(0.5, precision="bf16", optimize="compile"),
        made(0.7, optimize="checkpoint"),
    )
    assert [row["Configuration"] for row in found] in (
        ["bf16", "bf16 compile"],
        ["fp32 checkpoint"],
    )


def test_an_invalid_trial_has_no_ratio(make_trial, make_estimate):
    """A wrong output is not faster."""
    wrong = make_estimate("throughput.tokens", 640.0, validity="invalid", reasons=("output_wrong",))
    plain = of(make_trial, make_estimate, 1.0)
    other = of(make_trial, make_estimate, 1.0, optimize="compile")
    other.estimates["throughput.tokens"] = wrong
    found = rows(plain, other, of(make_trial, make_estimate, 2.0, optimize="checkpoint"))
    assert [row["Speed"] for row in found] == ["-", "0.500x", "-"]
    assert found[2]["Verdict"] == "-"


def test_the_undisturbed_means_are_compared_where_both_have_them(made, make_estimate):
    """Disturbance is not what a change costs."""
    clean = [[make_estimate("iteration.mean.clean", s, 0.001)] for s in (1.0, 0.8)]
    both = rows(made(3.0, extra=clean[0]), made(0.9, optimize="compile", extra=clean[1]))
    assert both[1]["Speed"] == "1.25x"
    one = rows(made(3.0, extra=clean[0]), made(1.0, optimize="compile"))
    assert one[1]["Speed"] == "3.00x"


def test_what_the_compiler_made_stands_below_the_first_iteration(made):
    """`not compiled` is told where the time went."""
    compiled = made(1.0, optimize="compile")
    for record in compiled.records:
        record.evidence["compiled"] = "not compiled"
    (table,) = gains_section(trials([made(1.0), compiled]), NO_ENERGY).blocks
    assert [row.cells[-1].detail for row in table.rows] == ["", "not compiled"]


def test_only_the_eager_values_are_plain():
    """Every other file of the group says something that is not."""
    plain = [name for name, keys in VALUES.items() if all(v in PLAIN for k, v in keys.items() if k != "name")]
    assert plain == ["eager"]


def test_records_of_another_shape_are_no_obstacle(make_trial, make_estimate):
    """Whatever a configuration holds, the report is drawn."""
    work = {"workload": {"name": "gpt", "mode": "train", "size": "tiny", "accumulate": [4]}}
    odd = (
        work,
        {**work, "optimize": {"compile": ["fast"]}, "compress": {}},
        {**work, "compress": {"settings": ["svd"]}, "device": {"index": []}},
    )
    step = make_estimate("iteration.mean", 1.0, 0.02)
    rows(*(make_trial("gpt", "train", "fp32", step, config=c, identity=i) for i, c in enumerate(odd)))


@pytest.mark.parametrize("rate", [1.02, 1.05, 1.08, 1.2])
def test_the_verdict_and_the_gains_are_one_test(make_trial, make_estimate, rate):
    """What is called fastest above is faster below, what is tied is undecided, at any distance."""
    pair = [of(make_trial, make_estimate, 1.0), of(make_trial, make_estimate, 1 / rate, optimize="compile")]
    named = trials(pair)
    places = rank(named, "throughput.tokens")
    (table,) = gains_section(named, NO_ENERGY).blocks
    word = table.rows[1].cells[4].text
    fastest = "fastest" in winner(places).text
    assert fastest == (word == "faster")
    assert fastest == (places[0].worst == 1)
