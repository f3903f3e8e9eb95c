"""What a confirmation measures: the very trial of the night, on this machine, with a code that is known."""

from __future__ import annotations

import pytest

from harness.comparison.recorded import repeat
from harness.gate.confirm import Confirmer, Where
from harness.gate.history import History, read_history
from harness.gate.policy import Policy
from harness.planning.plan import make_plan
from harness.records.metrics import make
from harness.records.store import Store

POLICY = Policy.model_validate({"metrics": [{"metric": "iteration.mean"}]})
SERIES = ("a" * 32, "c" * 32, "iteration.mean")


@pytest.fixture
def history(store: Store, add_night) -> History:
    """Return two nights of a trial from the demo experiment."""
    trial = make_plan(["+experiment=demo", "device=cpu", "run.name=night", "run.results=elsewhere"]).trials[3]
    for number in range(2):
        add_night(number, 1.0, config=trial.payload, trial_id=trial.trial_id)
    return read_history(store)


def _confirmer(history: History, store: Store, machine: str = "c" * 32, **where: str) -> Confirmer:
    return Confirmer(history, store, machine, Where(**where), Where())


def test_the_configuration_of_a_record_makes_its_trial_again(history: History) -> None:
    """An experiment's cell comes back alone and with the same identity; run control is left out."""
    (result,) = history.results
    words = repeat(result.trial_id, result.config, (), ())
    (trial,) = make_plan(words).trials
    assert trial.trial_id == result.trial_id
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


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("workload", "factory", "theirs:make"),
        ("workload", "program", "theirs.pt2"),
        ("workload", "folder", "theirs"),
        ("workload", "data", "theirs.txt"),
        ("workload", "name", "../theirs"),
        ("power", "sensor", "meter"),
        ("power", "sensor", "redfish"),
        ("power", "devices", ["command:theirs"]),
        ("power", "devices", ["file:/dev/null"]),
        ("compress", "settings", {"a=b,hydra.searchpath": 1}),
        ("device", "kind", "cpu hydra.searchpath=[theirs]"),
        ("seed", None, [1]),
    ],
)
def test_what_a_record_names_is_not_run(
    store: Store, add_night, monkeypatch: pytest.MonkeyPatch, section: str, key: str, value: object
) -> None:
    """No file, program, folder, host or override comes from a record: nothing is planned, a line says why."""
    config = make_plan(["workload=mlp", "device=cpu"]).trials[0].payload
    config = config | {section: config[section] | {key: value} if key else value}
    for number in range(2):
        add_night(number, 1.0, config=config)
    monkeypatch.setattr(
        "harness.comparison.recorded.make_plan", lambda *_a, **_k: pytest.fail("it was planned")
    )
    confirm = _confirmer(read_history(store), store)
    assert confirm(confirm.history.results[0], SERIES, POLICY.rule("iteration.mean", "x")) is None
    assert "name the sweep in the policy's plan" in confirm.note[0]


def test_the_policy_names_what_a_record_may_not(store: Store, add_night, tmp_path) -> None:
    """The user's own plan is matched by identity: it may name files, and only its own trials come of it."""
    text = tmp_path / "book.txt"
    text.write_text("words " * 2000)
    plan = ("workload=gpt", f"workload.data={text}", "device=cpu", "precision=fp32,bf16", "run.name=nights")
    trial = make_plan(plan).trials[1]
    words = repeat(trial.trial_id, {}, plan, ())
    assert make_plan(words).trials[0].trial_id == trial.trial_id
    with pytest.raises(ValueError, match="is not one"):
        repeat("f" * 16, {}, plan, ())


def test_a_record_that_claims_another_trial_is_not_run_for_it(history: History) -> None:
    """What would be measured is what the record says that it measured, or nothing."""
    (result,) = history.results
    with pytest.raises(ValueError, match="does not make its own trial"):
        repeat("f" * 16, result.config, (), ())


@pytest.mark.parametrize("commit", ["main", "--upload-pack=x", "/srv/theirs", "a" * 39, "A" * 40])
def test_a_commit_of_a_record_is_a_commit_id(history: History, store: Store, commit: str) -> None:
    """It names no folder, branch or option."""
    for key in history.commits:
        history.commits[key] = commit
    confirm = _confirmer(history, store)
    assert confirm(history.results[0], SERIES, POLICY.rule("iteration.mean", "x")) is None
    assert "no commit id" in confirm.note[0]


def test_a_commit_of_a_record_is_no_folder(
    history: History, store: Store, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is called like the commit is not taken for it: git must know the commit."""
    (tmp_path / f"{0:040x}").mkdir()
    monkeypatch.chdir(tmp_path)
    confirm = _confirmer(history, store)
    assert confirm(history.results[0], SERIES, POLICY.rule("iteration.mean", "x")) is None
    assert "nor a revision of a git repository here" in confirm.note[0]


def test_a_set_goes_on_for_a_metric_that_it_has_not_settled(
    history: History, store: Store, add_night
) -> None:
    """What settled one metric is measured on for another, and not at all where it has settled both."""
    noise = [1.0, 1.2, 0.9, 1.1, 0.8, 1.0, 1.15, 0.85, 1.0, 1.1]
    sides = []
    for side, effect in (("base", 1.0), ("head", 1.1)):
        for replica in range(10):
            scatter = noise[replica] if side == "head" else 1.0
            metrics = (make("iteration.mean", effect + replica * 1e-3), make("latency.p50", scatter))
            add_night(0, None, sweep=f"pairs-{side}", replica=replica, metrics=metrics)
        sides.append(store.records(f"pairs-{side}")[0])
    confirm = _confirmer(history, store)
    measured = []

    def more(_result, series, _rule, _number):
        measured.append(series[2])
        return tuple(side[: 6 if series == SERIES else 10] for side in sides)

    confirm._measure = more
    policy = Policy.model_validate({"metrics": [{"metric": "iteration.mean"}, {"metric": "latency.p50"}]})
    labels = []
    for metric_id in ("iteration.mean", "latency.p50", "throughput.tokens"):
        series = (*SERIES[:2], metric_id)
        rule = policy.rule(metric_id, "x") or policy.rule("iteration.mean", "x")
        found = confirm(history.results[0], series, rule)
        labels.append(found and (found.label, found.pairs))
    assert labels == [("worse", 6), ("inconclusive", 10), None]
    assert measured == ["iteration.mean", "latency.p50"]
    assert "throughput.tokens: too few of 10 pairs" in confirm.note[-1]
