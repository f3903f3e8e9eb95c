"""Contracts, and the runs that a nonce chooses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.advice.contract import Contract, judge_contract, load_contract

TERM = {"work": {"workload": "gpt"}, "metric": "throughput.tokens", "threshold": "1 k"}


def result(rates, *, seed=0, label="gpt tiny decode", work="w", machine="m", status="ok"):
    """A trial with these throughputs."""
    records = tuple(
        SimpleNamespace(
            status=status, replica=i, label=label, started_at=f"2026-01-01T00:00:{i:02}Z",
            metrics=(), evidence={}, config={},
            metric={"throughput.tokens": SimpleNamespace(value=rate)}.get,
        )
        for i, rate in enumerate(rates)
    )  # fmt: skip
    return SimpleNamespace(
        records=records, label=label, work_id=work, trial_id=work, machine_id=machine,
        config={"seed": seed, "workload": {"name": "gpt"}},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_rules(monkeypatch):
    monkeypatch.setattr("harness.advice.contract.judge", lambda record: {})


GOOD = [1100.0, 1101.0, 1102.0, 1099.0, 1100.0, 1101.0]


def contract(**more):
    """A contract of one term."""
    return Contract.model_validate({"terms": [TERM], **more})


def test_all_terms_must_hold():
    """One rejected term rejects the whole; one that lacks data leaves it open."""
    verdict, (only,) = judge_contract(contract(), [result(GOOD)])
    assert (verdict, only.more) == ("accepted", 0)
    two = contract(terms=[TERM, {**TERM, "threshold": 2000.0}])
    assert judge_contract(two, [result(GOOD)])[0] == "rejected"
    verdict, (only,) = judge_contract(contract(), [result(GOOD[:4])])
    assert (verdict, only.more) == ("not enough data", 2)


def test_what_failed_does_not_count_and_is_named():
    """A crashed replica is no evidence for either side."""
    verdict, (only,) = judge_contract(contract(), [result(GOOD, status="crashed")])
    assert verdict == "not enough data"
    assert only.left_out[0] == "replica 0: crashed"


def test_the_nonce_chooses_and_other_runs_are_refused():
    """The same nonce, the same seed; another run's records are no evidence."""
    asked = contract(nonce="spoken last", ranges={"seed": [5, 500]})
    seed = asked.chosen()["seed"]
    assert 5 <= seed <= 500
    assert asked.chosen() == {"seed": seed}
    assert judge_contract(asked, [result(GOOD, seed=seed)])[0] == "accepted"
    with pytest.raises(ValueError, match=f"the nonce asks for seed={seed}, the records have 1"):
        judge_contract(asked, [result(GOOD, seed=1)])


def test_what_a_contract_cannot_mean_is_one_line(tmp_path):
    """Wrong keys, metrics without a direction, ranges without a nonce, several trials, several machines."""
    path = tmp_path / "contract.yaml"
    for text, said in (
        ("terms: []", "terms"),
        ("terms: [{metric: flops.step, threshold: 1}]", "flops.step"),
        ("terms: [{metric: mfu, treshold: 1}]", "threshold"),
        ("terms: [{metric: mfu, threshold: 1}]\nranges: {seed: [1, 2]}", "nonce"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            load_contract(path)
    with pytest.raises(ValueError, match="several trials fit"):
        judge_contract(contract(), [result(GOOD), result(GOOD, work="v", label="gpt tiny train")])
    with pytest.raises(ValueError, match="several machines"):
        judge_contract(contract(), [result(GOOD), result(GOOD, machine="n")])
    with pytest.raises(ValueError, match="no trial of what the contract asks"):
        judge_contract(contract(), [])


def test_a_range_is_of_a_key_of_the_configuration():
    """What is printed to be run is no command of the contract's author."""
    with pytest.raises(ValueError, match=r"ranges: 'seed=1; rm' is no key of the configuration"):
        contract(nonce="long enough", ranges={"seed=1; rm": [0, 5]})
    with pytest.raises(ValueError, match="Tuple should have at least 1 item"):
        Contract.model_validate({"terms": []})
