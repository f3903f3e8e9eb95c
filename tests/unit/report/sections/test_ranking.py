"""Ranks say what the replicas allow, and no more."""

from __future__ import annotations

from harness.records.numbers import EN_DASH
from harness.report.sections.ranking import rank
from harness.report.sections.verdict import winner
from harness.report.trials import trials


def places(make_trial, make_estimate, bounds, **more):
    """Rank one group of throughputs given as (low, value, high)."""
    results = [
        make_trial(
            "gpt", "train", f"p{i}", make_estimate("throughput.tokens", v, None, low=lo, high=hi), **more
        )
        for i, (lo, v, hi) in enumerate(bounds)
    ]
    return rank(trials(results), "throughput.tokens")


def test_trials_far_apart_are_ordered(make_trial, make_estimate):
    """Where all can be told apart every rank is one number, best first."""
    found = places(make_trial, make_estimate, [(1.8, 2, 2.2), (7, 8, 9), (4.5, 5, 5.5)])
    assert [(p.trial.config, p.text) for p in found] == [("p1", "1 of 3"), ("p2", "2 of 3"), ("p0", "3 of 3")]


def test_a_tie_need_not_be_transitive(make_trial, make_estimate):
    """A chain of near values ties neighbours only: the ends are still ordered."""
    found = places(make_trial, make_estimate, [(8, 9, 10), (7, 8, 9), (6.1, 7.1, 8.2)])
    assert [(p.best, p.worst) for p in found] == [(1, 2), (1, 3), (2, 3)]
    assert found[0].text == f"1{EN_DASH}2 of 3"


def test_invalid_and_unbounded_values_are_never_ranked(make_trial, make_estimate):
    """The highest value wins nothing when it is invalid, or has no interval."""
    results = [
        make_trial("gpt", "train", "a", make_estimate("throughput.tokens", 1.0, 0.01)),
        make_trial("gpt", "train", "b", make_estimate("throughput.tokens", 99.0, 0.01, validity="invalid")),
        make_trial("gpt", "train", "c", make_estimate("throughput.tokens", 50.0, None)),
        make_trial("gpt", "train", "d", make_estimate("throughput.tokens", 70.0, 0.01), within_run_only=True),
    ]
    found = rank(trials(results), "throughput.tokens")
    assert [(p.trial.config, p.best, p.why_not) for p in found] == [
        ("a", 1, ""),
        ("d", None, "within-run only"),
        ("c", None, "no interval"),
        ("b", None, "invalid"),
    ]


def test_verdict_names_a_winner_only_when_it_is_sure(make_trial, make_estimate):
    """The lead is the least that the intervals allow; a tie names all that are tied."""
    sure = winner(places(make_trial, make_estimate, [(8, 9, 10), (3, 3.5, 4)]))
    tied = winner(places(make_trial, make_estimate, [(8, 9, 10), (7, 8.5, 9)]))
    assert "p0 at" in sure.text
    assert "fastest, at least 2.00 times any other" in sure.text
    assert tied.text.startswith("tied, their replicas do not tell them apart: p0 at")
    assert "fastest" not in tied.text
    assert "p1" in tied.text


def test_verdict_marks_what_it_rests_on(make_trial, make_estimate):
    """A flagged winner is called flagged, and one process each ranks nothing."""
    flagged = make_trial(
        "gpt",
        "train",
        "a",
        make_estimate("throughput.tokens", 9.0, 0.01, validity="flagged", reasons=("drift",)),
    )
    assert "(flagged)" in winner(rank(trials([flagged]), "throughput.tokens")).text
    alone = places(make_trial, make_estimate, [(8, 9, 10), (3, 3.5, 4)], within_run_only=True)
    assert winner(alone).text.endswith("has the highest value; not ranked: within-run only.")
