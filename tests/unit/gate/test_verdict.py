"""A folder of nights to a verdict: labels, required metrics, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.gate.history import read_history
from harness.gate.policy import Policy
from harness.gate.verdict import judge_history
from harness.records.store import Store
from harness.stats import Comparison

WATCHED = Policy.model_validate({"metrics": [{"metric": "iteration.mean", "required": True}]})


def _history(add_night, nights: int = 12, tonight: float | None = 1.0, **fields) -> None:
    for i in range(nights):
        add_night(i, 1 + 0.001 * (i % 3))
    add_night(nights, tonight, **fields)


@pytest.mark.parametrize(
    ("tonight", "fields", "label", "code", "reason"),
    [
        (1.0, {}, "no_regression", 0, None),
        (1.2, {}, "suspicious", 4, "no pairs"),
        (None, {}, "regression", 3, "has no value: no sensor"),
        (0.0, {}, "regression", 3, "is zero"),
        (1.0, {"metric": "cpu.time"}, "regression", 3, "a required metric is absent"),
        (
            1.0,
            {"status": "oom", "phase": "build", "metrics": ()},
            "regression",
            3,
            "the trial oom in phase build",
        ),
        (1.0, {"evidence": {"output_ok": False}}, "regression", 3, "is invalid: The outputs failed"),
    ],
)
def test_a_required_metric_is_judged_or_fails(
    store: Store, add_night, tonight, fields, label, code, reason
) -> None:
    """Absent, null, zero and invalid all fail; a suspect without pairs is left open."""
    _history(add_night, tonight=tonight, **fields)
    verdict = judge_history(read_history(store), WATCHED)
    (found,) = verdict.series
    assert (found.label, verdict.exit_code) == (label, code)
    assert (reason or "") in (found.judgement.reason or "")


def test_a_required_metric_without_any_trial_fails(store: Store, add_night) -> None:
    """A pattern that matches nothing tonight is an absence too."""
    _history(add_night)
    policy = Policy.model_validate(
        {"metrics": [{"metric": "iteration.mean", "trials": "bert *", "required": True}]}
    )
    verdict = judge_history(read_history(store), policy)
    assert verdict.exit_code == 3
    assert "no trial of tonight matches" in verdict.lines()[0]


def test_nothing_to_watch_is_nothing_to_say(store: Store, add_night) -> None:
    """A verdict over no series is exit code 4, never a pass."""
    _history(add_night)
    policy = Policy.model_validate({"metrics": [{"metric": "energy.token"}]})
    assert judge_history(read_history(store), policy).exit_code == 4


def test_the_command_leaves_a_verdict_that_the_next_night_reads(
    store: Store, add_night, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A suspicious night stays out of the next night's baseline; JSON, Markdown and exit code agree."""
    policy = tmp_path / "gate.yaml"
    policy.write_text("metrics: [{metric: iteration.mean}]\n")
    _history(add_night, tonight=1.5)
    arguments = ["gate", "--history", str(store.root), "--policy", str(policy), "--screen-only"]
    assert cli.main([*arguments, "--json", "--markdown", str(tmp_path / "out.md")]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["night"], told["counts"], told["exit_code"]) == ("nightly-012", {"suspicious": 1}, 4)
    assert "| suspicious | gpt tiny train | iteration.mean |" in (tmp_path / "out.md").read_text()
    add_night(13, 1.0)
    assert cli.main(arguments) == 0
    (series,) = read_history(store, tonight="nightly-013").before
    labels = [n.label for n in read_history(store).nights(series)]
    assert labels == ["insufficient_data"] * 12 + ["suspicious"]


def test_an_accepted_night_is_the_new_normal(store: Store, add_night) -> None:
    """Its level is not suspect again, and its code is the good one."""
    _history(add_night, tonight=1.5)
    add_night(13, 1.5)
    history = read_history(store, accept=("nightly-012",))
    assert judge_history(history, WATCHED).exit_code == 0
    (series,) = history.before
    assert history.good_commit(series) == f"{12:040x}"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"night": "n", "verdicts": [{"label": "regression"}]}', "verdicts.0.work_id: "),
        (
            '{"night": "n", "verdicts": [{"work_id": "a", "machine_id": "b", "metric": "m", "label": "x"}]}',
            "verdicts.0.label: ",
        ),
    ],
)
def test_a_malformed_history_is_one_line_with_file_and_field(
    store: Store, add_night, tmp_path: Path, capsys: pytest.CaptureFixture, written: str, said: str
) -> None:
    """The command ends with 2, and names the file and the field."""
    _history(add_night)
    (store.root / "nightly-003" / "gate.json").write_text(written)
    policy = tmp_path / "gate.yaml"
    policy.write_text("metrics: [{metric: iteration.mean}]\n")
    assert cli.main(["gate", "--history", str(store.root), "--policy", str(policy)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "nightly-003/gate.json: " in line
    assert said in line


def test_torn_records_are_left_out_and_named(store: Store, add_night) -> None:
    """A record that cannot be read is in the verdict's list, and voids nothing else."""
    _history(add_night)
    path = next(store.record_paths("nightly-004"))
    path.write_text("{")
    verdict = judge_history(read_history(store), WATCHED)
    assert verdict.exit_code == 0
    assert str(path) in verdict.left_out[0]
    assert str(path) in verdict.lines()[0]


def test_a_night_that_is_torn_whole_does_not_pass_for_the_one_before(store: Store, add_night) -> None:
    """It is the newest by its name: an error with the file; naming the night gets around it."""
    _history(add_night)
    path = next(store.record_paths("nightly-012"))
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"night nightly-012 can be read: .* --night") as error:
        read_history(store)
    assert str(path) in str(error.value)
    assert read_history(store, tonight="nightly-011").tonight == "nightly-011"


@pytest.mark.parametrize(
    ("tonight", "code", "reason"),
    [
        ({"label": "gpt tiny train"}, 0, None),
        (
            {"label": "gpt tiny train", "status": "refused", "reason": "no device", "metrics": ()},
            3,
            "no device",
        ),
        (None, 3, "nightly-011 measured this trial, tonight has not"),
    ],
)
def test_a_required_trial_that_is_gone_fails(store: Store, add_night, tonight, code, reason) -> None:
    """Another trial matches the rule; the one that was there yesterday was refused, or never ran."""
    for i in range(13):
        add_night(i, 1.0, label="gpt base train", work_id="e" * 32, trial_id="e" * 32)
        if i < 12:
            add_night(i, 1.0)
    if tonight is not None:
        add_night(12, 1.0, **tonight)
    verdict = judge_history(read_history(store), WATCHED)
    assert verdict.exit_code == code
    assert (reason or "") in (verdict.series[0].judgement.reason or "")


def test_a_trial_that_was_given_up_weeks_ago_is_not_missed(store: Store, add_night) -> None:
    """What the last fourteen nights have not measured is expected no more."""
    for i in range(16):
        add_night(i, 1.0, label="gpt base train", work_id="e" * 32, trial_id="e" * 32)
    add_night(0, 1.0)
    assert judge_history(read_history(store), WATCHED).exit_code == 0


def test_no_nights_is_bad_input(store: Store) -> None:
    """An empty folder is told, with the pattern."""
    store.root.mkdir()
    with pytest.raises(ValueError, match="no sweep matches 'nightly"):
        read_history(store, pattern="nightly*")


@pytest.mark.parametrize(
    ("rules", "code", "said"),
    [
        ([{"metric": "iteration.mean"}], 0, "1 trials match, 1 series judged"),
        ([{"metric": "iteration.mean"}, {"metric": "cpu.time", "trials": "brt *"}], 4, "no trial of tonight"),
        ([{"metric": "iteration.mean"}, {"metric": "energy.token"}], 4, "none of the 1 trials"),
    ],
)
def test_each_rule_says_what_it_matched(store: Store, add_night, rules, code, said) -> None:
    """A rule that watches nothing leaves the night open, and every rule is told."""
    _history(add_night)
    verdict = judge_history(read_history(store), Policy.model_validate({"metrics": rules}))
    assert verdict.exit_code == code
    assert any(said in line for line in verdict.lines())
    assert [rule["metric"] for rule in verdict.plain()["rules"]] == [r["metric"] for r in rules]


def test_an_accepted_night_that_is_none_is_told(store: Store, add_night) -> None:
    """A name that was mistyped accepts nothing."""
    _history(add_night)
    assert "accept: there is no night nigthly" in "; ".join(read_history(store, accept=("nigthly",)).left_out)


def test_a_regression_names_its_commits_and_the_command_that_searches(store: Store, add_night) -> None:
    """The base is the good night's of two weeks back; overrides that name a file or program are left out."""
    words = ["+experiment=nightly", "workload=gpt", "run.name=x", "workload.data=/etc/passwd", "seed=$(id)"]
    _history(add_night, tonight=1.5, config={"overrides": words})
    worse = Comparison("worse", 0.5, 0.4, 0.6, 0.01, 6, 1e-6)
    verdict = judge_history(read_history(store), WATCHED, lambda *_: worse)
    base, head = f"{0:040x}", f"{12:040x}"
    overrides = "+experiment=nightly workload=gpt 'sweep=[]'"
    command = f"joulemark bisect {base} {head} {overrides} --metric iteration.mean"
    text = verdict.markdown()
    assert f"base `{base}`, head `{head}`" in text
    assert f"\n{command}\n" in text
    (series,) = verdict.plain()["verdicts"]
    assert (series["base"], series["head"], series["bisect"]) == (base, head, command)


def test_a_quiet_night_names_no_commits(store: Store, add_night) -> None:
    """There is nothing to search for."""
    _history(add_night)
    verdict = judge_history(read_history(store), WATCHED)
    assert "bisect" not in verdict.markdown()
    assert verdict.plain()["verdicts"][0]["bisect"] is None
