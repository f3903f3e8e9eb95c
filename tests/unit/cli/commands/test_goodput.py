"""`joulemark goodput`: what it runs and what it tells, with a queue in the place of the engine."""

import json
from types import SimpleNamespace

import pytest

from harness.cli import main
from harness.cli.commands import goodput
from harness.records.metrics import make

LOAD = (
    "workload=gpt", "workload.mode=serve", "device=cpu", "serve.arrivals=poisson", "serve.ttft_limit_s=0.1",
)  # fmt: skip


@pytest.fixture
def queue(monkeypatch, tmp_path):
    """Answer every run by a share that falls from 1 to 0.5 at 8 requests/s; return the plans that ran."""
    plans = []

    def swept(plan, _sweep_under):
        plans.append(plan)
        rate = plan.trials[-1].config.serve.rate_per_s
        share = make("goodput.share", 1.0 if rate <= 8 else 0.5)
        evidence = {"saturated": rate > 10, "output_ok": rate < 100}
        record = SimpleNamespace(metric=lambda _id: share, metrics=[share], evidence=evidence)
        return SimpleNamespace(ledger=SimpleNamespace(ok=lambda _id: [record], last_failure=lambda _id: None))

    monkeypatch.setattr(goodput, "swept", swept)
    monkeypatch.chdir(tmp_path)
    return plans


def test_the_search_runs_sweeps_of_fresh_seeds_and_tells_the_rate(queue, capsys):
    """One sweep for each rate, which grows by a trial with each run of that rate."""
    assert main(["goodput", *LOAD, "--start", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rate_per_s"] <= 8 < found["above_per_s"] <= 1.02 * found["rate_per_s"]
    assert found["limited_by"] == "latency"
    assert [plan.sweep for plan in queue[:3]] == ["goodput-3"] * 3
    assert [trial.config.seed for trial in queue[2].trials] == [0, 1, 2]
    assert {trial.config.measure.replicas for plan in queue for trial in plan.trials} == {1}


def test_the_table_has_a_row_for_each_rate(queue, capsys):
    """In the order of the rates, with the verdict."""
    assert main(["goodput", *LOAD, "--tolerance", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "met" in said
    assert "missed" in said
    assert "is the highest rate at which 90% of requests keep the limits" in said
    assert "next: joulemark report goodput-1 goodput-2 goodput-4 goodput-8 " in said
    assert queue


def test_no_rate_that_keeps_the_limits_is_told(queue, monkeypatch, capsys):
    """Exit code 3."""
    monkeypatch.setattr(goodput, "highest_rate", lambda *_a, **_k: goodput.Found(None, 0.25, "latency"))
    assert main(["goodput", *LOAD]) == 3
    assert "no rate down to 0.25/s" in capsys.readouterr().out
    assert not queue


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["workload=gpt", "workload.mode=serve", "device=cpu"], "a closed loop has no rate"),
        (
            ["workload=gpt", "device=cpu"],
            "serve.rate_per_s: mode serve alone reads it: add workload.mode=serve",
        ),
        (LOAD[:-1], "state a limit"),
        ([*LOAD, "serve.slots=2,4"], "one configuration"),
        ([*LOAD, "optimize=compile"], "changes with every step"),
        ([*LOAD, "--start", "-1"], "should be greater than 0"),
    ],
)
def test_what_cannot_be_searched_is_one_line(queue, capsys, words, says):
    """Before anything runs, with exit code 2."""
    assert main(["goodput", *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not queue


def test_a_rate_whose_share_says_nothing_ends_the_search(queue, capsys):
    """With the rule that voids it."""
    assert main(["goodput", *LOAD, "--start", "128"]) == 2
    assert "no goodput.share at 128 requests/s: The outputs failed their check." in capsys.readouterr().err
    assert queue


def test_a_run_that_fails_ends_the_search(queue, monkeypatch, capsys):
    """With the rate and the reason."""
    failure = SimpleNamespace(reason="out of memory")
    ledger = SimpleNamespace(ok=lambda _id: [], last_failure=lambda _id: failure)
    monkeypatch.setattr(goodput, "swept", lambda *_: SimpleNamespace(ledger=ledger))
    assert main(["goodput", *LOAD]) == 2
    assert "no result at 1 requests/s: out of memory" in capsys.readouterr().err
    assert not queue
