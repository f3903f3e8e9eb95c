"""Which records a verb reads of a sweep, and what it says where there are none."""

from __future__ import annotations

import pytest

from harness.cli.sweeps import current, read_sweep, read_sweeps, say_left_out
from harness.records.estimates import trial_results


def test_a_sweep_is_read_with_what_cannot_be_read(store, make_record):
    """The good records, and the torn ones with a reason each."""
    store.write(make_record())
    torn = store.write(make_record(replica=1))
    torn.write_text("{")
    records, unread = read_sweep(store, "demo")
    assert [record.replica for record in records] == [0]
    assert [each.path for each in unread] == [torn]


def test_a_sweep_without_records_is_one_line(store, make_record):
    """With the sweeps that there are, or what to do where there is none yet."""
    with pytest.raises(ValueError, match="no records of a sweep gone; no sweep has been run yet"):
        read_sweep(store, "gone")
    store.write(make_record())
    with pytest.raises(ValueError, match="no records of a sweep gone; there are: demo"):
        read_sweep(store, "gone")


def test_a_sweep_that_is_named_twice_is_read_once(store, make_record):
    """Else each of its results would be said to be measured again."""
    store.write(make_record())
    results, _ = read_sweeps(store, ["demo", "demo"])
    assert len(results) == 1


def test_records_that_cannot_be_read_may_suffice(store, make_record):
    """A report lists them; a comparison cannot, and says how many they were."""
    torn = store.write(make_record())
    torn.write_text("{")
    results, left_out = read_sweeps(store, ["demo"])
    assert results == []
    assert [line.split(": ")[0] for line in left_out] == [str(torn.relative_to(store.root))]
    with pytest.raises(ValueError, match="no records of a sweep demo, and 1 that cannot be read: "):
        read_sweep(store, "demo")


def test_of_a_blocks_copies_on_two_nodes_the_whole_one_counts(make_record):
    """GPUs make nodes different machines; what one of them only began is no second result."""

    def on(node, machine, replica):
        told = {"allocation": {"job": "7_1", "node": node, "block": "1/2"}}
        return make_record(
            {"throughput.samples": 1.0}, machine_id=machine * 64, replica=replica, evidence=told
        )

    records = [on("n1", "c", 0), on("n2", "e", 0), on("n2", "e", 1)]
    kept, said = current(trial_results(records))
    assert [result.machine_id[0] for result in kept] == ["e"]
    assert said == ["1 results that a cluster's blocks began on one node and measured on another"]
    alone = [make_record({"throughput.samples": 1.0}, machine_id=machine * 64) for machine in "ce"]
    assert len(current(trial_results(alone))[0]) == 2


def test_an_answer_names_what_it_does_not_rest_on(store, make_record, capsys):
    """Ten lines at most, on standard error, without control characters; the answer itself stays as it is."""
    store.write(make_record())
    for replica in range(1, 13):
        store.write(make_record(replica=replica)).write_text("{")
    say_left_out(read_sweeps(store, ["demo"])[1])
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 11
    assert said.err.splitlines()[-1] == "joulemark: and 2 more"
    say_left_out(["a\x1b[31mb"])
    assert "\x1b" not in capsys.readouterr().err
