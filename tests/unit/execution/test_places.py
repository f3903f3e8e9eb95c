"""One place stands for each trial: the node with most of its replicas."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.execution.places import Place, by_place, chosen, node_of, settled_elsewhere

TRIAL, MACHINE, CODE = "b" * 64, "c" * 64, "d" * 64


@pytest.fixture
def on(make_record):
    """Make a record of one node: by replica, attempt and status."""

    def make_one(node, replica=0, attempt=0, status="ok", **more):
        told = {"scheduler": "slurm", "job": "7_1", "node": node, "restarts": 0, "block": "1/2"}
        return make_record(
            evidence={"allocation": told}, replica=replica, attempt=attempt, status=status, **more
        )

    return make_one


def test_the_report_counts_one_of_two_copies(on):
    """The first copy went on while Slurm had started the block again; its records are kept and left out."""
    first = [on("n1", 0), on("n1", 1)]
    second = [on("n2", 0, 1), on("n2", 1, 1), on("n2", 2)]
    ledger = chosen([*first, *second], lambda _record: True)
    assert {node_of(r) for r in ledger.ok(TRIAL)} == {"n2"}
    assert len(ledger.ok(TRIAL)) == 3
    assert ledger.elsewhere == 2


def test_of_two_whole_copies_the_later_counts(on):
    """They are equally good; the choice is the same on every host."""
    early, late = (on(n, started_at=f"2025-01-0{n[1]}T00:00:00Z", machine_id=n[1] * 64) for n in ("n1", "n2"))
    for order in ([early, late], [late, early]):
        assert [node_of(r) for r in chosen(order, lambda _record: True).ok(TRIAL)] == ["n2"]


def test_records_of_other_code_are_no_part(on):
    """They are counted apart."""
    ledger = chosen([on("n1", code={"torch": "1"})], lambda record: record.code["torch"] == "2")
    assert ledger.by_trial == {}
    assert ledger.elsewhere == 1


@pytest.mark.parametrize(
    ("made", "failures", "settled"),
    [
        ([("n1", 0), ("n1", 1)], True, True),
        ([("n1", 0)], True, False),
        ([("n2", 0), ("n2", 1)], True, False),  # that is here
        ([("n1", 0, 0, "crashed")], True, True),
        ([("n1", 0, 0, "crashed")], False, False),
        ([("n1", 0, 0, "interrupted")], True, False),
        ([("n1", 0), ("n3", 1)], True, False),
    ],
)
def test_a_trial_is_settled_by_one_node_that_has_it_whole(on, made, failures, settled):
    """Replicas of two nodes are no whole; a failure counts unless it is to be tried again."""
    trial = SimpleNamespace(trial_id=TRIAL)
    ledgers = by_place([on(*one) for one in made]).get(TRIAL, {})
    here = Place(MACHINE, CODE, "n2")
    assert settled_elsewhere(trial, here, ledgers, lambda _ledger: 2, failures=failures) is settled
    other_code = Place(MACHINE, "e" * 64, "n2")
    assert not settled_elsewhere(trial, other_code, ledgers, lambda _ledger: 2, failures=failures)


def test_a_record_outside_of_any_scheduler_has_no_node(make_record):
    """Nor has one whose evidence is something else."""
    assert node_of(make_record()) is None
    assert node_of(make_record(evidence={"allocation": [1]})) is None
    assert node_of(make_record(evidence={"allocation": {"node": 3}})) is None
