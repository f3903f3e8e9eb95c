"""Pairs of scripted processes: their order, the looks, the records they leave, and going on after an end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.comparison.pairs import Pairs, SideFailedError

WOBBLE = (1.0, 1.004, 0.997, 1.002, 0.999, 1.003, 0.996)


def noise(call: int) -> float:
    """Vary by a few tenths of a percent."""
    return WOBBLE[call % len(WOBBLE)]


@pytest.fixture
def pairs(side, store, scripted):
    """Make pairs of one script for both sides."""

    def make_them(seconds, name="t", **script):
        workers = scripted(seconds, **script)
        base, head = side("base", workers), side("head", workers)
        # One environment, as two configurations in one Python have.
        head = type(head)(head.name, head.trial, head.identity, base.environment)
        return Pairs(name, base, head, store), workers

    return make_them


def test_identical_sides_are_equivalent_at_the_first_look(pairs, store):
    """A/A: six pairs, twelve records in two sweeps although both sides have one trial id."""
    run, workers = pairs(lambda _sweep, call: 0.01 * noise(call))
    lines = run.run()
    assert (lines[0].metric_id, lines[0].label) == ("iteration.mean.clean", "equivalent")
    assert lines[0].comparison.pairs == run.pairs() == 6
    assert workers.calls == 12
    for name in ("t-base", "t-head"):
        records, torn = store.records(name)
        assert [r.replica for r in records] == list(range(6))
        assert not torn
    assert workers.closed == 1, "one server makes the processes of both sides"


def test_a_slower_head_is_worse_and_every_metric_has_its_line(pairs):
    """A tenth more time: worse in time, in throughput and in latency, equal in memory, energy unavailable."""
    run, _ = pairs(lambda sweep, call: noise(call) * (0.011 if sweep == "t-head" else 0.01))
    lines = {line.metric_id: line for line in run.run()}
    assert run.pairs() == 6
    assert {i: line.label for i, line in lines.items()} == {
        "iteration.mean.clean": "worse",
        "throughput.samples": "worse",
        "latency.p50": "worse",
        "memory.peak_rss": "equivalent",
        "energy.sample": "unavailable",
    }
    assert lines["iteration.mean.clean"].comparison.effect == pytest.approx(0.1, abs=0.005)
    assert lines["throughput.samples"].comparison.effect == pytest.approx(-1 / 11, abs=0.005)
    assert lines["energy.sample"].reason == "no sensor: scripted"


def test_noise_without_a_verdict_ends_at_the_last_look(pairs):
    """Wild noise: 24 pairs, and the answer is that there is none."""
    run, _ = pairs(lambda sweep, call: 0.01 * (1.3 if (call // 2 + (sweep == "t-head")) % 2 else 1.0))
    assert run.run()[0].label == "inconclusive"
    assert run.pairs() == 24


def test_another_question_may_settle_the_pairs(pairs):
    """It is asked about the records of both sides after each pair; the cap ends them if it never says yes."""
    asked = []

    def settled(base, head):
        asked.append((len(base), len(head)))
        return len(base) == 3

    run, _ = pairs(lambda _sweep, call: 0.01 * noise(call))
    run.settled = settled
    run.run()
    assert sorted(set(asked)) == [(n, n) for n in range(4)]
    run, _ = pairs(lambda _sweep, call: 0.01 * noise(call), "endless")
    run.settled = lambda _base, _head: False
    run.run()
    assert run.pairs() == 48


def test_the_order_within_a_pair_is_random_recorded_and_repeatable(pairs, store):
    """Both orders occur, each record says its place, and the name alone decides.

    Of each two pairs the second begins the other way, so that a drift cannot pass for a difference.
    """
    order = {}
    for name in ("one", "two"):
        sweeps = []
        run, _ = pairs(
            lambda sweep, call, seen=sweeps: seen.append(sweep) or 0.01 * (1.3 if call % 4 in {1, 2} else 1),
            name,
        )
        run.run()
        places = [r.round_order for r in store.records(f"{name}-base")[0]]
        assert places == [int(first == f"{name}-head") for first in sweeps[::2]]
        assert [a + b for a, b in zip(places[::2], places[1::2], strict=True)] == [1] * (len(places) // 2)
        order[name] = places
    assert order["one"][:24] != order["two"][:24]


def test_an_interrupt_keeps_what_is_done_and_the_name_goes_on(pairs, store):
    """Interrupted in the fourth pair: three are kept, the half pair is measured anew, nothing else is."""
    run, _ = pairs(lambda _sweep, call: None if call == 7 else 0.01 * noise(call))
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.pairs() == 3

    again, workers = pairs(lambda _sweep, call: 0.01 * noise(call))
    again.run()
    assert workers.calls == 2 * (6 - 3)
    both = [r for name in ("t-base", "t-head") for r in store.records(name)[0]]
    assert sorted(r.status for r in both) == ["interrupted"] + ["ok"] * 13
    assert sum(r.replica == 3 for r in both) == 4


def test_a_finished_comparison_measures_nothing_again(pairs):
    """The same name a second time reads its verdict from the records."""
    first, _ = pairs(lambda _sweep, call: 0.01 * noise(call))
    lines = first.run()
    again, workers = pairs(lambda _sweep, _call: "not to be run")
    assert again.run() == lines
    assert workers.calls == 0


def test_records_of_other_code_do_not_count_and_are_told(pairs):
    """A name that was measured with other code: its pairs are not this code's, and a line says so."""
    first, _ = pairs(lambda _sweep, call: 0.01 * noise(call))
    first.run()
    again, workers = pairs(lambda _sweep, call: 0.01 * noise(call))
    for side in (again.base, again.head):
        object.__setattr__(side, "identity", replace(side.identity, code_id="c" * 64))
    said = []
    again.note = said.append
    again.run()
    assert workers.calls == 12
    assert "t-base: 6 earlier records" in said[0]


def test_a_process_that_fails_ends_it_with_its_record(pairs, store):
    """Nothing can be compared with a crash: it says which side, and the record is there."""
    run, _ = pairs(lambda sweep, _call: "no such layer" if sweep == "t-head" else 0.01)
    with pytest.raises(SideFailedError, match="head crashed: no such layer"):
        run.run()
    assert [r.status for r in store.records("t-head")[0]] == ["crashed"]


def test_disturbed_pairs_are_replaced(pairs):
    """Up to half may be disturbed: the look comes when there are enough undisturbed pairs, and says so."""
    run, _ = pairs(lambda _sweep, call: 0.01 * noise(call), clean=lambda _sweep, call: call not in {2, 9})
    headline = run.run()[0]
    assert (headline.metric_id, headline.comparison.pairs, run.pairs()) == ("iteration.mean.clean", 6, 8)
    assert "4 disturbed processes left out" in headline.flags


def test_where_most_are_disturbed_the_plain_mean_is_compared(pairs):
    """Fewer than half of the pairs undisturbed: all of them, by the mean over all iterations."""
    run, _ = pairs(lambda _sweep, call: 0.01 * noise(call), clean=lambda _sweep, call: call % 2 == 0)
    headline = run.run()[0]
    assert (headline.metric_id, headline.comparison.pairs) == ("iteration.mean", 6)


def test_a_name_that_is_no_sweeps_writes_nothing(pairs, store):
    """Parts of a path would lead out of the results folder."""
    run, workers = pairs(lambda _sweep, _call: 0.01, name="../a")
    with pytest.raises(ValueError, match="not a sweep's name"):
        run.run()
    assert workers.calls == 0
    assert not list(store.root.parent.rglob("*base*"))
