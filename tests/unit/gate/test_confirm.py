"""What a confirmation measures: the very trial of the night, on this machine, with a code that is known."""

from __future__ import annotations

import pytest

from harness.gate.confirm import Confirmer, Where, overrides_of
from harness.gate.history import History, read_history
from harness.gate.policy import Policy
from harness.plan import make_plan
from harness.records.store import Store

POLICY = Policy.model_validate({"metrics": [{"metric": "iteration.mean"}]})
SERIES = ("a" * 32, "c" * 32, "iteration.mean")


@pytest.fixture
def history(store: Store, add_night) -> History:
    """Return two nights of a trial from the demo experiment."""
    trial = make_plan(["+experiment=demo", "device=cpu", "run.name=night", "run.results=elsewhere"]).trials[3]
    config = {"overrides": list(trial.overrides), "device": {"kind": "cpu"}, "expected": trial.trial_id}
    for number in range(2):
        add_night(number, 1.0, config=config)
    return read_history(store)


def _confirmer(history: History, store: Store, machine: str = "c" * 32, **where: str) -> Confirmer:
    return Confirmer(history, store, machine, Where(**where), Where())


def test_the_overrides_of_a_record_make_its_trial_again(history: History) -> None:
    """An experiment's cell comes back alone and with the same identity; run control is left out."""
    (result,) = history.results
    words = overrides_of(result)
    (trial,) = make_plan(words).trials
    assert trial.trial_id == result.config["expected"]
    assert not any(word.startswith("run.") for word in words)


def test_what_another_machine_measured_is_not_measured_here(history: History, store: Store) -> None:
    """There are no pairs, and a line says why."""
    confirm = _confirmer(history, store, machine="d" * 32)
    assert confirm(history.results[0], SERIES, POLICY.rule("iteration.mean", "x")) is None
    assert "measured on another machine" in confirm.note[0]


def test_without_a_known_good_commit_there_are_no_pairs(history: History, store: Store) -> None:
    """The line names the options that would give one."""
    history.commits.clear()
    confirm = _confirmer(history, store)
    assert confirm(history.results[0], SERIES, POLICY.rule("iteration.mean", "x")) is None
    assert "name one by --base-" in confirm.note[0]


def test_a_checkout_that_is_not_there_is_told_and_not_raised(history: History, store: Store) -> None:
    """The other series of the night are still judged."""
    confirm = _confirmer(history, store, checkout="no-such-revision")
    assert confirm(history.results[0], SERIES, POLICY.rule("iteration.mean", "x")) is None
    assert "no-such-revision: neither a folder nor a revision" in confirm.note[0]


def test_pairs_stay_pairs_where_one_process_has_no_value(history: History, store: Store, add_night) -> None:
    """A process without a value takes its partner out, and no other pair is shifted by it."""
    sides = []
    for side, effect in (("base", 1.0), ("head", 1.1)):
        for replica in range(8):
            missing = side == "head" and replica == 3
            value = None if missing else effect * (1 + replica)
            add_night(0, value, sweep=f"pairs-{side}", replica=replica)
        sides.append(store.records(f"pairs-{side}")[0])
    confirm = _confirmer(history, store)
    confirm._sets["b" * 32, 0] = tuple(sides)
    found = confirm(history.results[0], SERIES, POLICY.rule("iteration.mean", "x"))
    assert (found.pairs, found.label) == (7, "worse")
    assert found.effect == pytest.approx(0.1)
