"""Two sweeps from records alone: what joins, what differs, and what is refused."""

from __future__ import annotations

import argparse
import json

import pytest

from harness.cli.commands import compare as command
from harness.comparison.sweeps import compare_sweeps
from harness.records.estimates import trial_results


@pytest.fixture
def results(record):
    """Make a sweep's results: by work, a factor on its time; each with six replicas that vary a little."""

    def make_them(factors, *, replicas=6, **changes):
        records = [
            record(
                0.01 * factor * (1 + 0.002 * (i % 3)),
                replica=i,
                **{"work_id": f"{number:016x}", "trial_id": f"{number:016x}", "label": f"w{number}"}
                | changes,
            )
            for number, factor in enumerate(factors)
            for i in range(replicas)
        ]
        return trial_results(records)

    return make_them


def test_works_are_joined_and_each_is_judged(results):
    """Equal, 20 % slower and 20 % faster work: each gets its own verdict, under its own label."""
    joined = compare_sweeps(results([1, 1, 1]), results([1, 1.2, 0.8]))
    assert {w.label: w.lines[0].label for w in joined.works} == {
        "w0": "equivalent",
        "w1": "worse",
        "w2": "better",
    }
    assert joined.works[1].lines[0].comparison.effect == pytest.approx(0.2)
    assert (joined.hardware, joined.software, joined.unmatched, joined.superseded) == ({}, {}, ([], []), 0)


def test_an_effect_below_the_least_is_no_verdict(results):
    """A difference that is certain and smaller than 1 % is equivalent, or nothing; never worse."""
    joined = compare_sweeps(results([1]), results([1.005]))
    assert joined.works[0].lines[0].label in {"equivalent", "inconclusive"}


def test_one_process_a_side_gives_no_verdict(results):
    """From a single process there is no spread between processes: inconclusive, and labelled."""
    line = compare_sweeps(results([1], replicas=1), results([1.5], replicas=1)).works[0].lines[0]
    assert line.label == "inconclusive"
    assert line.comparison.low is None
    assert "within-run only" in line.flags


def test_work_of_one_sweep_only_is_named(results):
    """What the other has not is listed, and the rest is compared."""
    joined = compare_sweeps(results([1, 1]), results([1]))
    assert joined.unmatched == (["w1"], [])
    assert len(joined.works) == 1


def test_no_work_in_common_is_refused(results):
    """Different work is never compared."""
    with pytest.raises(ValueError, match="no work in common: w0 against w0"):
        compare_sweeps(results([1], work_id="c" * 16), results([1]))


def test_differences_are_found_by_kind(results):
    """Machine facts are hardware, the code's identity is software, measure and power are settings."""
    head = results(
        [1],
        machine={"host_processor_model_name": "Other", "kernel": "6.1"},
        code={"torch": "2.14.0", "harness_sha256": "f" * 64},
        config={"measure": {"seconds": 5.0}, "power": {"sensor": "none"}},
    )
    joined = compare_sweeps(results([1]), head)
    assert joined.hardware == {"host_processor_model_name": ("One", "Other")}
    assert joined.software == {"torch": ("2.13.0", "2.14.0")}
    assert joined.works[0].settings == {"measure.seconds": (1.0, 5.0)}


def test_work_measured_again_counts_by_its_last_results(results):
    """Of two results of one work in a sweep the later counts, and the other is counted as left out."""
    earlier = results([2], code_id="e" * 64, started_at="2025-01-01T00:00:00.000Z")
    joined = compare_sweeps([*earlier, *results([1])], results([1]))
    assert joined.works[0].lines[0].label == "equivalent"
    assert joined.superseded == 1


@pytest.fixture
def sweeps(record, store):
    """Write sweep `a`, and `b` with changes."""

    def write(factor=1.0, **changes):
        for name, times, more in (("a", 1.0, {}), ("b", factor, changes)):
            for i in range(6):
                store.write(record(0.01 * times * (1 + 0.002 * (i % 3)), replica=i, sweep=name, **more))
        return store

    return write


def run(store, a="a", b="b", **options):
    """Run the verb."""
    given = {"a": a, "b": b, "allow": [], "delta": 0.01, "results": str(store.root), "json": True}
    return command.main(argparse.Namespace(**(given | options)))


def test_the_verb_prints_json_and_exits_by_the_headline(sweeps, capsys):
    """A slower head is exit code 3 and says so in JSON."""
    assert run(sweeps(1.3)) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["works"][0]["verdict"], told["exit_code"]) == ("worse", 3)


def test_the_verb_finds_sweeps_by_path(sweeps, capsys):
    """A sweep of another folder is named by its path."""
    store = sweeps(1.0)
    assert run(store, str(store.root / "a"), str(store.root / "b"), results="nowhere", json=False) == 0
    assert "equivalent" in capsys.readouterr().out


def test_other_software_is_refused_unless_allowed(sweeps):
    """The refusal names the fact that differs and how to go on."""
    store = sweeps(code={"torch": "2.14.0", "harness_sha256": "f" * 64}, code_id="c" * 64)
    with pytest.raises(ValueError, match=r"torch 2\.13\.0 to 2\.14\.0.*--allow software"):
        run(store)
    assert run(store, allow=["software"]) == 0


def test_a_library_that_the_work_uses_is_named(sweeps):
    """Both have it in their code; one that only a side uses is `none` on the other."""
    store = sweeps(code={"torch": "2.13.0", "libraries": {"transformers": "5.24.0"}}, code_id="c" * 64)
    with pytest.raises(ValueError, match=r"transformers none to 5\.24\.0"):
        run(store)


def products(precision):
    """Return what a record of XLA holds of the precision of its products."""
    return {"transformed": {"xla": {"matmul_precision": precision}}}


def test_products_of_another_precision_are_refused_and_named(results):
    """Under XLA fp32 by passes of bf16 is other work than fp32; a record of torch says nothing of it."""
    xla, passes = (results([1], evidence=products(p)) for p in ("highest", "default"))
    assert compare_sweeps(xla, passes).software == {"matmul_precision": ("highest", "default")}
    assert compare_sweeps(xla, xla).software == {}
    assert compare_sweeps(xla, results([1])).software == {}


def test_the_verb_names_the_precision_that_differs(store, record, capsys):
    """It is refused as other software is, and compared when that is allowed."""
    for name, precision in (("a", "highest"), ("b", "default")):
        for i in range(3):
            store.write(record(0.01, replica=i, sweep=name, evidence=products(precision)))
    with pytest.raises(ValueError, match="matmul_precision highest to default"):
        run(store)
    run(store, allow=["software"])
    assert json.loads(capsys.readouterr().out)["software"] == {"matmul_precision": ["highest", "default"]}


@pytest.mark.parametrize(("a", "options"), [("c", {}), ("a", {"delta": 0.0}), ("../a", {})])
def test_bad_input_is_one_line(sweeps, a, options):
    """An unknown sweep, a path outside and a senseless delta are each one clear line."""
    with pytest.raises((ValueError, OSError)) as caught:
        run(sweeps(), a, **options)
    assert "\n" not in str(caught.value)


def test_a_torn_record_is_told_when_nothing_else_is_there(sweeps):
    """A sweep of torn records says what is wrong with the first."""
    store = sweeps()
    for path in store.root.glob("a/*/*/*/record.json"):
        path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match="6 that cannot be read"):
        run(store)


def test_other_initial_weights_under_one_seed_are_told(results):
    """The same work began elsewhere; a record of before, without digests, says nothing."""
    one, other = ({"evidence": {"initial_weights_sha256": letter * 64}} for letter in "ab")
    (work,) = compare_sweeps(results([1], **one), results([1], **other)).works
    assert work.started_from == {"initial_weights_sha256": ("a" * 64, "b" * 64)}
    assert compare_sweeps(results([1], **one), results([1], **one)).works[0].started_from == {}
    assert compare_sweeps(results([1]), results([1], **one)).works[0].started_from == {}
