"""What the disk says of a sweep, from records whose outcome is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.execution.ledger import Ledger, exit_code

TRIAL = "b" * 64
HERE = ("c" * 64, {TRIAL: "d" * 64})


@pytest.fixture
def attempt(make_record):
    """Make one attempt: by status, replica and attempt."""

    def make_one(status, replica=0, attempt=0, **more):
        return make_record(status=status, replica=replica, attempt=attempt, reason="r", **more)

    return make_one


def test_records_of_another_machine_or_code_are_counted_apart(attempt):
    """They are kept, and no replica of this sweep is done by them."""
    records = [
        attempt("ok", machine_id="e" * 64),
        attempt("ok", code_id="e" * 64),
        attempt("ok", 1),
    ]
    ledger = Ledger.read(records, *HERE)
    assert ledger.elsewhere == 2
    assert [r.replica for r in ledger.ok(TRIAL)] == [1]
    assert not ledger.is_done(TRIAL, 0)
    assert ledger.is_done(TRIAL, 1)


def test_a_replica_that_was_tried_again_with_success_has_not_failed(attempt):
    """Its failures are counted, and are no failure of the trial."""
    ledger = Ledger.read([attempt("crashed"), attempt("oom", 0, 1), attempt("ok", 0, 2)], *HERE)
    assert ledger.failures_of(TRIAL, 0) == 2
    assert ledger.last_failure(TRIAL) is None
    assert ledger.state(TRIAL, None, 1) == "done"


def test_the_last_failure_is_of_the_first_replica_that_only_failed(attempt):
    """By attempt, whatever the order in which records are read; an interrupt is no failure."""
    ledger = Ledger.read(
        [attempt("interrupted"), attempt("hung", 1, 1), attempt("crashed", 1), attempt("oom", 2)], *HERE
    )
    assert ledger.last_failure(TRIAL).status == "hung"
    assert ledger.failures_of(TRIAL, 0) == 0


@pytest.mark.parametrize(
    ("statuses", "refusal", "state"),
    [
        ((), None, "waiting"),
        (("interrupted",), None, "waiting"),
        (("ok",), None, "partial"),
        (("ok", "ok"), None, "done"),
        (("ok", "crashed"), None, "failed"),
        (("refused",), None, "refused"),
        ((), "tf32 needs CUDA", "refused"),
    ],
)
def test_a_trial_s_state_is_one_word(attempt, statuses, refusal, state):
    """Of two replicas that are wanted."""
    records = [attempt(status, replica) for replica, status in enumerate(statuses)]
    assert Ledger.read(records, *HERE).state(TRIAL, refusal, 2) == state


@pytest.mark.parametrize(
    ("trials", "code"),
    [
        ((("ok", None),), 0),
        ((("ok", None), (None, "refused")), 0),
        ((("ok", None), ("crashed", None)), 1),
        ((("ok", None), (None, None)), 1),
        (((None, "refused"), (None, "refused")), 2),
    ],
)
def test_the_exit_code_comes_from_the_disk(attempt, trials, code):
    """0: complete but for refused cells; 1: some failed or are left; 2: every cell is refused."""
    planned, records = [], []
    for number, (status, refusal) in enumerate(trials):
        trial_id = f"{number:064d}"
        planned.append(SimpleNamespace(trial_id=trial_id, refusal=refusal))
        records += [attempt(status, trial_id=trial_id)] if status else []
    ledger = Ledger.read(records, HERE[0], {trial.trial_id: "d" * 64 for trial in planned})
    assert exit_code(SimpleNamespace(trials=planned), ledger, lambda _trial: 1) == code
