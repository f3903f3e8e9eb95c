"""What was asked, and the limits: kept, broken, undecided or unknown, with known answers."""

from __future__ import annotations

import pytest

from harness.report.sections.question import AskedLimits, question_section
from harness.report.trials import trials


def limited(make_trial, *estimates, limits, label="gpt tiny generate fp32", **more):
    """One trial whose configuration has these limits."""
    workload = {"name": "gpt", "mode": "generate", "size": "tiny"}
    report = {"title": None, "question": "How soon?", "limits": limits}
    config = {"workload": workload, "precision": {"name": "fp32"}, "report": report}
    return make_trial(
        "gpt", "generate", "fp32", *estimates, config=config, label=label, identity=label, **more
    )


def rows(*results) -> list[list[str]]:
    """Return the cells behind the trial's name."""
    *_, table = question_section(trials(results)).blocks
    return [[cell.text.replace("\u00a0", " ") for cell in row.cells[3:]] for row in table.rows]


@pytest.mark.parametrize(
    ("metric", "limit", "verdict"),
    [
        ("latency.ttft", 0.12, "kept"),
        ("latency.ttft", 0.1, "undecided"),
        ("latency.ttft", 0.08, "broken"),
        ("throughput.tokens", 80, "kept"),
        ("throughput.tokens", 100, "undecided"),
        ("throughput.tokens", 120, "broken"),
        ("memory.weights", 1024, "kept"),
        ("memory.weights", 1023, "broken"),
        ("latency.p90", 0.2, "likely kept"),
        ("latency.p90", 0.1, "likely broken"),
        ("efficiency.tokens", 5, "unknown"),
    ],
)
def test_a_limit_is_judged_by_the_whole_interval(make_trial, make_estimate, metric, limit, verdict):
    """Less latency is better, more throughput; a count is exact, a bare measured value is not."""
    estimates = (
        make_estimate("latency.ttft", 0.1, 0.1),
        make_estimate("throughput.tokens", 100, 0.1),
        make_estimate("memory.weights", 1024, None),
        make_estimate("latency.p90", 0.15, None),
    )
    ((_, _, _, found),) = rows(limited(make_trial, *estimates, limits={metric: limit}))
    assert found == verdict


def test_the_answer_names_who_keeps_all_limits(make_trial, make_estimate):
    """One line over all trials; limits read as they were set."""
    limits = {"latency.ttft": 1.0, "throughput.tokens": 50}
    fast, slow = (
        limited(
            make_trial, make_estimate("latency.ttft", ttft, 0.01),
            make_estimate("throughput.tokens", 64, 0.01), limits=limits, label=f"gpt tiny generate {name}",
        )
        for name, ttft in (("fast", 0.5), ("slow", 2.0))
    )  # fmt: skip
    asked, answer, _ = question_section(trials([fast, slow])).blocks
    assert (asked.text, asked.tone) == ("How soon?", "lead")
    assert (
        answer.text
        == "1 of 2 trials keep every limit: gpt tiny generate fast. Not shown to be kept: 1 broken."
    )
    assert [row[:2] for row in rows(fast)] == [
        ["Time to first token", "at most 1.00 s"], ["Throughput", "at least 50.0 tokens/s"],
    ]  # fmt: skip


def test_a_sweep_without_question_has_no_such_section(make_trial, make_estimate):
    """Nothing is asked of a plain sweep, of a failed trial, or of limits that are no numbers."""
    plain = make_trial("gpt", "train", "fp32", make_estimate("throughput.tokens", 64, 0.01))
    assert question_section(trials([plain])).blocks == ()
    failed = limited(make_trial, limits={"latency.ttft": 1.0}, status="crashed")
    odd = limited(make_trial, limits={"latency.ttft": "x", "no.such": 1.0})
    for result in (failed, odd):
        (asked,) = question_section(trials([result])).blocks
        assert asked.text == "How soon?"


def test_a_question_limits_its_own_work_alone(make_trial, make_estimate):
    """Another mode keeps the limits that it was run under, and `--limit` is of both and counts first."""
    own = {"latency.ttft": 1.0}
    trial = limited(make_trial, make_estimate("latency.ttft", 0.5, 0.01), limits=own)
    for mode, everywhere, expected in (
        ("generate", None, {"latency.p90": 0.2}),
        ("decode", None, None),
        ("generate", {"latency.p90": 0.1, "latency.ttft": 2.0}, {"latency.p90": 0.1, "latency.ttft": 2.0}),
        ("decode", {"latency.ttft": 2.0}, {"latency.ttft": 2.0}),
    ):
        asked = AskedLimits(everywhere, {"latency.p90": 0.2}, {"name": "gpt", "mode": mode})
        assert asked.of(trial.config) == expected
    *_, table = question_section(
        trials([trial]), AskedLimits(None, {"latency.p90": 1.0}, {"name": "x"})
    ).blocks
    assert [row.cells[3].text for row in table.rows] == ["Time to first token"]


def test_a_bare_value_likely_keeps(make_trial, make_estimate):
    """A measured value without an interval is counted apart from what surely keeps."""
    bare = limited(make_trial, make_estimate("memory.peak_rss", 1e9, None), limits={"memory.peak_rss": 2e9})
    _, answer, _ = question_section(trials([bare])).blocks
    assert answer.text == ("1 of 1 trial likely keep every limit: gpt tiny generate fp32.")
