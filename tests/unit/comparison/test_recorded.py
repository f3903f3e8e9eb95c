"""A record's configuration makes its own trial again, or says what it may not name."""

import pytest

from harness.comparison.recorded import NotRepeatableError, repeat
from harness.planning.plan import make_plan

WORDS = ["device=cpu", "workload=mlp", "workload.mode=infer", "measure.seconds=0.5", "seed=3"]


@pytest.fixture(scope="module")
def trial():
    """One planned trial."""
    (found,) = make_plan(WORDS).trials
    return found


@pytest.fixture(scope="module")
def config(trial):
    """The configuration as its record keeps it."""
    return trial.config.model_dump(mode="json")


def test_a_recorded_configuration_is_its_trial_again(trial, config):
    """The words from the record alone plan a trial of the same identity."""
    words = repeat(trial.trial_id, config, [], [])
    assert [again.trial_id for again in make_plan(words).trials] == [trial.trial_id]
    assert {"seed=3", "measure.seconds=0.5", "workload.name=mlp"} <= set(words)


def test_run_control_of_a_record_is_never_repeated(trial, config):
    """Where it wrote its results, or how long it might take, is its own affair."""
    told = config | {"run": {"results": "/elsewhere", "name": "x"}, "price": {"name": "y"}}
    words = repeat(trial.trial_id, told, [], [])
    assert not [word for word in words if word.startswith(("run", "price"))]


@pytest.mark.parametrize(
    ("section", "values", "names"),
    [
        ("workload", {"factory": "nets:classifier"}, "workload.factory"),
        ("workload", {"data": "book.txt"}, "workload.data"),
        ("power", {"sensor": "meter"}, "meter"),
        ("power", {"devices": ["command:reboot"]}, "power.devices"),
        ("compress", {"name": "a/b"}, "compress.name"),
        ("compress", {"settings": {"a b": 1}}, "compress.settings"),
    ],
)
def test_what_names_a_file_a_program_or_a_host_is_refused(trial, config, section, values, names):
    """One line says which."""
    with pytest.raises(NotRepeatableError, match=names):
        repeat(trial.trial_id, config | {section: config[section] | values}, [], [])


def test_a_configuration_of_another_trial_is_refused(trial, config):
    """The identity decides, not the record's word."""
    with pytest.raises(NotRepeatableError, match="does not make its own trial again"):
        repeat(trial.trial_id, config | {"seed": 4}, [], [])


def test_what_is_no_configuration_is_refused(trial):
    """The place is named."""
    with pytest.raises(NotRepeatableError, match=r"its configuration is not one: .*workload"):
        repeat(trial.trial_id, {"workload": 3}, [], [])


def test_the_users_own_plan_comes_first(trial):
    """A policy's word may name anything, so that the record's configuration is not even looked at."""
    words = repeat(trial.trial_id, {"workload": 3}, [*WORDS, "seed=3,5", "run.name=night"], [])
    assert [again.trial_id for again in make_plan(words).trials] == [trial.trial_id]
    assert not [word for word in words if word.startswith("run.")]
